import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { rootCertificates } from 'node:tls';
import { hasTls } from '../../config/derived.ts';
import { readTlsPair } from '../../smtp/tls/certificate.ts';
import { advice, type DoctorParts, type Finding, failed, ok, skipped } from '../finding.ts';

const DAY = 86_400_000;
/** Renewals of Let's Encrypt come 30 days before the end; one that is this near was missed. */
const SOON = 14;
const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const CERT = 'SMTP_RELAY_TLS_CERT_PATH';

/** The files of the certificate: its chain, its name, and how long it lasts. */
export async function checkCertificate({ config, role, clientName }: DoctorParts): Promise<Finding[]> {
  const what = 'certificate';
  if (role === 'worker') return [skipped(what, 'the relay has it')];
  if (!hasTls(config)) {
    const detail = 'none: keys and messages cross the network in clear text';
    return [advice(what, detail, `set ${CERT} and SMTP_RELAY_TLS_KEY_PATH`)];
  }
  const { cert } = await readTlsPair(config.tls);
  const chain = (cert.match(PEM) ?? []).map(pem => new X509Certificate(pem));
  const [leaf] = chain as [X509Certificate];
  return [describeChain(chain), describeName(leaf, clientName), describeEnd(leaf)];
}

function describeChain(chain: readonly X509Certificate[]): Finding {
  const what = 'certificate chain';
  const names = chain.map(({ subject }) => subject.replaceAll('\n', ', '));
  const broken = chain.findIndex((certificate, index) => {
    const issuer = chain[index + 1];
    return issuer !== undefined && !isIssuedBy(certificate, issuer);
  });
  if (broken !== -1) {
    const detail = `"${names[broken]}" is not signed by the one that follows it, "${names[broken + 1]}"`;
    return failed(what, detail, `put into ${CERT} the certificate first, then what signed it, and so on`);
  }
  const last = chain.at(-1) as X509Certificate;
  const roots = rootCertificates.map(pem => new X509Certificate(pem));
  if (roots.some(root => root.fingerprint256 === last.fingerprint256 || isIssuedBy(last, root))) {
    return ok(what, `${chain.length} certificates, up to an authority that clients know`);
  }
  const authority = last.issuer.replaceAll('\n', ', ');
  const detail = `it ends at "${authority}", which clients do not know by themselves`;
  const remedy = `where it is a public authority, ${CERT} lacks its intermediate certificates; where it is one of your own, clients need its file`;
  return advice(what, detail, remedy);
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function describeName(leaf: X509Certificate, clientName: string | null): Finding {
  const what = 'name of the certificate';
  const names = leaf.subjectAltName ?? leaf.subject;
  if (clientName === null) {
    const remedy = 'say which name clients have for the relay: --name, or SMTP_RELAY_HOSTNAME';
    return advice(what, `it is for ${names}; whether clients use that name is not known here`, remedy);
  }
  const fits = isIP(clientName) === 0 ? leaf.checkHost(clientName) : leaf.checkIP(clientName);
  if (fits !== undefined) return ok(what, `it is for ${clientName}`);
  const remedy = `get one for ${clientName}, or have clients use a name that it has`;
  return failed(what, `clients use ${clientName}, and it is for ${names}`, remedy);
}

function describeEnd(leaf: X509Certificate): Finding {
  const what = 'end of the certificate';
  const end = new Date(leaf.validTo);
  const days = Math.floor((end.getTime() - Date.now()) / DAY);
  const date = end.toISOString().slice(0, 10);
  const remedy = `renew it; the relay takes up a new ${CERT} while it runs`;
  if (days < 0) return failed(what, `it ended on ${date}`, remedy);
  if (Date.parse(leaf.validFrom) > Date.now()) {
    return failed(what, `it is valid only from ${leaf.validFrom} on`, 'check the clock of this machine');
  }
  const detail = `${days} days left, until ${date}`;
  return days < SOON ? advice(what, detail, remedy) : ok(what, detail);
}
