import Type, { type Static } from 'typebox';
import { DOCUMENTS_FOLDER, exactlyOneOf, filePath, group, list, owner, text } from './fields.ts';

const address = text('an email address, such as gone@example.com', {
  pattern: '^[^\\s]+@[^\\s@]+$',
  maxLength: 254,
  description: 'An email address, in any spelling.',
});

/** Addresses that an owner never sends to. */
export const suppressionList = group(
  {
    owner,
    addresses: Type.Optional(list(address, { maxItems: 100_000 }, 'The addresses.')),
    addressesFile: Type.Optional(
      filePath(
        DOCUMENTS_FOLDER,
        'A text file with one address a line; empty lines and those that begin with # count for nothing.',
      ),
    ),
  },
  'Addresses that an owner never sends to.',
  exactlyOneOf('addresses', 'addressesFile'),
);

export type SuppressionListSpec = Static<typeof suppressionList>;
