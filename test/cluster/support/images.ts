import { env } from 'node:process';

const { IMAGE = 'localhost/opensend-smtp-relay:dev' } = env;
const [, registry = '', repository = '', tag = ''] = /^([^/]+)\/(.+):([^:/]+)$/.exec(IMAGE) ?? [];
if (tag === '') throw new Error(`IMAGE is ${IMAGE}: give registry/name:tag, as the cluster knows it`);

/** With the embedded Postgres, the SQS emulator and the SES double; `make image-test` builds it. */
export const TEST_IMAGE = `${IMAGE}-test`;

/** The values by which the chart finds the images of `make image`. */
export const IMAGE_VALUES = { image: { registry, repository, tag } } as const;
