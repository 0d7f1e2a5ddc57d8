/** What the store needs of the configuration. */
export interface ObjectStoreOptions {
  readonly bucket: string;
  /** Of all keys. */
  readonly prefix: string;
  readonly region: string;
  /** null: where AWS says for the region. */
  readonly endpoint: string | null;
  /** `bucket`: as the bucket is set. */
  readonly encryption: 'bucket' | 'AES256' | 'aws:kms';
  /** Empty: the key of the account. */
  readonly kmsKeyId: string;
}

/** `s3://bucket/key`, as the row has it: where the configuration names another bucket, what is in this one is still found. */
const URL_FORM = /^s3:\/\/(?<bucket>[^/]+)\/(?<key>.+)$/;

/** @throws TypeError for what is no location */
export function locationIn(url: string): { readonly Bucket: string; readonly Key: string } {
  const { bucket, key } = URL_FORM.exec(url)?.groups ?? {};
  if (bucket === undefined || key === undefined) throw new TypeError('no location of an object');
  return { Bucket: bucket, Key: key };
}

/** Where a message's original is kept: by the day (UTC), so that people find it, and rules for a time of it can be made. */
export function urlFor(
  { bucket, prefix }: Pick<ObjectStoreOptions, 'bucket' | 'prefix'>,
  id: string,
  at: Date,
): string {
  const folder = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
  return `s3://${bucket}/${folder}${at.toISOString().slice(0, 10).replaceAll('-', '/')}/${id}.eml`;
}
