import { createConfiguredObjects } from '../../objects/store.ts';
import { createRegistry } from '../../observability/metrics.ts';
import { type DoctorParts, type Finding, failed, ok, skipped } from '../finding.ts';

/** Whether object storage answers, where originals are kept there. Nothing is written. */
export async function checkBucket({ config }: DoctorParts): Promise<Finding[]> {
  const what = 'bucket of originals';
  const { store, s3 } = config.originals;
  if (store !== 's3') return [skipped(what, 'originals are kept in Postgres')];
  const objects = createConfiguredObjects(config, createRegistry());
  try {
    await objects.check();
    return [ok(what, `S3 answers for ${s3.bucket}`)];
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    const remedy =
      'check SMTP_RELAY_ORIGINALS_S3_BUCKET, SMTP_RELAY_ORIGINALS_S3_REGION, AWS_ENDPOINT_URL_S3 and the rights on it (docs/iam.md)';
    return [failed(what, `S3 does not answer for ${s3.bucket}: ${name}: ${message}`, remedy)];
  } finally {
    objects.close();
  }
}
