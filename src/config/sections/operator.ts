import { boolean, httpUrl, oneOf } from '../formats/format.ts';
import { setting } from '../setting.ts';

/** The page for those who run the process. */
export const operator = {
  operatorPage: {
    enabled: setting({
      doc: 'Whether the operational listener shows at `/` what this process and the whole installation are doing, see [operations](operations.md#the-page). Read only, and without a log-in, as `/metrics` and `/healthz` are.',
      format: boolean,
      default: true,
    }),
    sessions: setting({
      doc: 'Whether it shows, on relays, what clients were refused (`sessions.kept`), by the name of the key or by address, with the transcript. `masked`: mail addresses without what stands before the @, and public network addresses as networks. `full`: as `smtp-relay sessions` has them, for a listener that nobody else reaches. `off`: nothing of it.',
      format: oneOf('masked', 'full', 'off'),
      default: 'masked',
    }),
    guideUrl: setting({
      doc: 'Where its problems lead to: the troubleshooting guide, whose paragraphs are named behind a `#`.',
      format: httpUrl,
      default: 'https://github.com/opensend/opensend-smtp-relay/blob/main/docs/troubleshooting.md',
    }),
  },
};
