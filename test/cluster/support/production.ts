import { randomBytes } from 'node:crypto';
import type { Backing } from './backing.ts';
import { apply, secret } from './namespace.ts';
import type { Values } from './release.ts';

/** Whoever sends, as declared resources say it: the domain, and the API key that is in the Secret `client`. */
export const CLIENT = { owner: 'acme', domain: 'acme.test', from: 'app@acme.test', secret: 'client' } as const;
export const SERVER_NAME = 'smtp.acme.test';

/** So that several pods find room on a small node. */
const LITTLE = { resources: { requests: { cpu: '50m', memory: '128Mi' } } };
export const frugal: Values = { relay: LITTLE, worker: LITTLE };

/** Makes the Secret with the client's API key. @returns the key */
export async function createClient(namespace: string): Promise<string> {
  const key = `os_live_${randomBytes(16).toString('hex')}`;
  await apply(namespace, secret(CLIENT.secret, { API_KEY: key }));
  return key;
}

/** As one installs it for real: a database, a queue and SES that are there already, and what is declared. */
export function productionValues(backing: Backing): Values {
  return {
    pipeline: 'standalone',
    config: {
      hostname: SERVER_NAME,
      awsRegion: 'us-east-1',
      queueUrl: backing.queueUrl,
      sqsEndpoint: backing.sqsEndpoint,
      ses: { endpoint: backing.sesEndpoint },
      // One machine does everything here, and often much else: a database that is slow is not one that is away.
      database: { connectTimeout: '30s', statementTimeout: '2m' },
    },
    secrets: {
      databaseUrl: { value: backing.databaseUrl },
      awsAccessKeyId: { value: backing.accessKeyId },
      awsSecretAccessKey: { value: backing.secretAccessKey },
    },
    ...clientValues(),
    tls: { certManager: { issuerRef: { kind: 'Issuer', name: 'relay-ca' }, dnsNames: [SERVER_NAME] } },
    ...frugal,
  };
}

/** The declared owner, and what `helm test` logs in with. */
export function clientValues(): Values {
  const { owner, domain, from } = CLIENT;
  return {
    secretFiles: [{ existingSecret: CLIENT.secret, key: 'API_KEY', path: 'client' }],
    declared: {
      enabled: true,
      documents: {
        domain: { kind: 'SendingDomain', metadata: { name: 'acme' }, spec: { owner, name: domain } },
        key: { kind: 'SmtpCredential', metadata: { name: 'acme' }, spec: { owner, domain, keyFile: 'client' } },
      },
    },
    test: { apiKey: { existingSecret: CLIENT.secret }, from },
  };
}

/** An authority of cert-manager's own making, as the Issuer `relay-ca`. */
export function authority(): object[] {
  const api = { apiVersion: 'cert-manager.io/v1' };
  return [
    { ...api, kind: 'Issuer', metadata: { name: 'self-signed' }, spec: { selfSigned: {} } },
    {
      ...api,
      kind: 'Certificate',
      metadata: { name: 'relay-ca' },
      spec: {
        isCA: true,
        commonName: 'relay-ca',
        secretName: 'relay-ca',
        privateKey: { algorithm: 'ECDSA', size: 256 },
        issuerRef: { name: 'self-signed', kind: 'Issuer' },
      },
    },
    { ...api, kind: 'Issuer', metadata: { name: 'relay-ca' }, spec: { ca: { secretName: 'relay-ca' } } },
  ];
}
