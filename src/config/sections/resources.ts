import { boolean, optional, path } from '../formats/format.ts';
import { duration } from '../formats/time.ts';
import { setting } from '../setting.ts';

/** Documents that declare what the relay is to hold. */
export const declaration = {
  domains: {
    shared: setting({
      doc: 'Whether two owners may have one domain, by documents or by `smtp-relay domains add`. Otherwise the second is refused, since whoever has a domain may send in its name.',
      format: boolean,
      default: false,
    }),
  },
  resources: {
    directory: setting({
      doc: 'The folder of the documents that declare credentials, domains, suppressions, webhooks and routes (`docs/resources.md`). Empty: none are declared, and nothing is changed.',
      format: optional(path),
      default: '',
    }),
    secretsDirectory: setting({
      doc: 'The folder below which the files are that documents name for keys, signing secrets and passwords. Empty: `resources.directory`.',
      format: optional(path),
      default: '',
    }),
    allowEmpty: setting({
      doc: 'Whether what is no longer declared is removed also where all documents are gone, or all of a folder below. Otherwise it is kept, since a volume that is not mounted looks the same.',
      format: boolean,
      default: false,
      reloadable: true,
    }),
    byHand: setting({
      doc: 'Whether documents are applied by `smtp-relay resources apply` only, as from a pipeline. Otherwise it is told of as a fault where something is declared and no process reconciles it.',
      format: boolean,
      default: false,
      reloadable: true,
    }),
    interval: setting({
      doc: 'How often the database is compared with the documents. A changed document counts at once.',
      format: duration,
      default: 30_000,
    }),
  },
};
