import Type, { type Static } from 'typebox';
import { ALL_EVENTS, WEBHOOK_EVENTS } from '../../webhooks/event-types.ts';
import { filePath, group, list, oneOf, owner, SECRETS_FOLDER, text } from './fields.ts';

/** An endpoint that hears of an owner's events. */
export const webhookEndpoint = group(
  {
    owner,
    url: text('an https or http URL, such as https://acme.com/hooks/email', {
      pattern: '^https?://[^\\s]+$',
      maxLength: 2048,
      description: 'Where events are posted to.',
    }),
    events: Type.Optional(
      list(
        oneOf([ALL_EVENTS, ...WEBHOOK_EVENTS], 'An event; `*` is all of them.'),
        { minItems: 1, maxItems: 50 },
        'Which events; all where it is left out.',
      ),
    ),
    secretFile: filePath(
      SECRETS_FOLDER,
      'The file that holds the signing secret: `whsec_` and 24 to 64 random bytes in Base64. Another content is another secret; the last one signs too for a day.',
    ),
  },
  "An endpoint that hears of an owner's events.",
);

export type WebhookEndpointSpec = Static<typeof webhookEndpoint>;
