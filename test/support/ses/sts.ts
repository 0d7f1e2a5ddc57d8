/** What AssumeRole gives here, whichever role is asked for. */
export const ASSUMED = {
  accessKeyId: 'ASSUMED',
  secretAccessKey: 'assumed-secret',
  sessionToken: 'assumed-token',
} as const;

/** Answers STS' AssumeRole (query protocol, XML); null for anything else. */
export function assumeRole(body: Buffer): string | null {
  const form = new URLSearchParams(body.toString());
  const roleArn = form.get('RoleArn');
  if (form.get('Action') !== 'AssumeRole' || roleArn === null) return null;
  const expiration = new Date(Date.now() + 3_600_000).toISOString();
  return `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser><Arn>${roleArn}</Arn><AssumedRoleId>AROA:${form.get('RoleSessionName')}</AssumedRoleId></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>${ASSUMED.accessKeyId}</AccessKeyId>
      <SecretAccessKey>${ASSUMED.secretAccessKey}</SecretAccessKey>
      <SessionToken>${ASSUMED.sessionToken}</SessionToken>
      <Expiration>${expiration}</Expiration>
    </Credentials>
  </AssumeRoleResult>
</AssumeRoleResponse>`;
}
