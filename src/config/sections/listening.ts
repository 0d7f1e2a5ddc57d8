import { ciphers, trustedNetworks } from '../formats/access.ts';
import { hostName, listenAddress, networks, oneOf, optional, path, port } from '../formats/format.ts';
import { delay, duration } from '../formats/time.ts';
import { setting } from '../setting.ts';

/** Where and how clients connect. */
export const listening = {
  host: setting({
    doc: 'The address that the relay listens on. `0.0.0.0` is every IPv4 address of the machine, `::` every IPv6 and IPv4 address.',
    format: listenAddress,
    default: '0.0.0.0',
  }),
  port: setting({
    doc: 'The port for SMTP submission with STARTTLS. `0` takes any free port.',
    format: port,
    default: 2587,
  }),
  hostname: setting({
    doc: 'The name by which the relay greets clients. Empty: the name of the machine.',
    format: optional(hostName),
    default: '',
  }),
  tls: {
    certPath: setting({
      doc: 'The PEM file with the certificate, followed by its intermediate certificates. Certificate and key together switch STARTTLS on, and log-in is then possible only after it. Empty: no TLS.',
      format: optional(path),
      default: '',
    }),
    keyPath: setting({
      doc: 'The PEM file with the private key of the certificate, without a passphrase.',
      format: optional(path),
      default: '',
    }),
    implicitPort: setting({
      doc: 'A second port where TLS begins with the connection (usually 2465). `0`: none.',
      format: port,
      default: 0,
    }),
    minVersion: setting({
      doc: 'The oldest version of TLS that clients may use.',
      format: oneOf('TLSv1.2', 'TLSv1.3'),
      default: 'TLSv1.2',
    }),
    ciphers: setting({
      doc: 'The ciphers that clients may use, in the words of OpenSSL (`openssl ciphers`). Empty: those with forward secrecy and AEAD, as RFC 9325 asks for.',
      format: optional(ciphers),
      default: '',
    }),
    legacyPort: setting({
      doc: 'A port of its own, with STARTTLS, for printers and other devices that know no TLS of today: it has `tls.legacyMinVersion` and `tls.legacyCiphers`, and all else is as on the other ports. Whoever listens on the way may come to read what such devices send, their API key included: give them keys of their own, with a domain, and keep the port inside. `0`: none.',
      format: port,
      default: 0,
    }),
    legacyMinVersion: setting({
      doc: 'The oldest version of TLS on `tls.legacyPort`.',
      format: oneOf('TLSv1', 'TLSv1.1', 'TLSv1.2'),
      default: 'TLSv1',
    }),
    legacyCiphers: setting({
      doc: 'The ciphers on `tls.legacyPort`, in the words of OpenSSL. TLS before 1.2 needs `@SECLEVEL=0` in them.',
      format: ciphers,
      default: 'DEFAULT@SECLEVEL=0',
    }),
  },
  proxyProtocol: {
    networks: setting({
      doc: 'The load balancers that tell the client address by the PROXY protocol (version 1 or 2). Connections from these networks must begin with its header; from all others it is refused. Empty: off.',
      format: networks,
      default: [],
    }),
    headerTimeout: setting({
      doc: 'How long such a connection has to send the PROXY header.',
      format: duration,
      default: 5000,
    }),
  },
  trustedNetworks: setting({
    doc: 'Networks whose clients may send without a log-in, and without TLS, for printers and jobs that cannot log in: each as `network=id`, with the id of the API key (`smtp-relay keys list`) as which they send. The first network that holds the client counts. What a load balancer passes on is judged by the address in its PROXY header.',
    format: trustedNetworks,
    default: [],
    reloadable: true,
  }),
  drainDelay: setting({
    doc: 'How long connections are still taken after the order to stop, while `/readyz` says already that there shall be no more: as long as it takes until load balancers and proxies have heard of it (5s to 15s in Kubernetes). It comes before `shutdownTimeout`, so that the grace period has to hold both.',
    format: delay,
    default: 0,
    reloadable: true,
  }),
  shutdownTimeout: setting({
    doc: "How long messages under way may take to finish when the relay is told to stop. Keep it below the grace period of what runs it (Kubernetes' is 30 s by default).",
    format: duration,
    default: 25_000,
  }),
};
