import { hasTls, OPENSEND_RECIPIENTS, trustsAnyServer } from './derived.ts';
import type { ConfigProblem } from './problem.ts';
import { type Config, type SettingName, settingIn, settings } from './schema.ts';
import { defaultEnvName } from './setting.ts';
import { checkTlsFiles } from './tls-files.ts';
import { descriptionOf, TRANSPORT_KINDS } from './transports/list.ts';

/** What is wrong with settings that are right each on its own. */
interface CheckResult {
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
}

/** Characters of a secret that nobody guesses, if they were chosen at random. */
const SAFE_SECRET = 16;

interface Check {
  /** The settings it looks at; where one of them has a wrong value, the check is left out. */
  readonly looksAt: readonly SettingName[];
  run(config: Config, sourceOf: (name: SettingName) => string): Partial<CheckResult>;
}

const tlsPair: Check = {
  looksAt: ['tls.certPath', 'tls.keyPath'],
  run({ tls }, sourceOf) {
    if ((tls.certPath === '') === (tls.keyPath === '')) return {};
    const [set, missing, variable] =
      tls.keyPath === ''
        ? (['tls.certPath', 'tls.keyPath', 'SMTP_RELAY_TLS_KEY_PATH'] as const)
        : (['tls.keyPath', 'tls.certPath', 'SMTP_RELAY_TLS_CERT_PATH'] as const);
    const why = `it is set, but ${missing} is not: TLS needs both`;
    const fix = `set ${missing} (${variable}) too, or unset ${set}`;
    return { problems: [{ setting: set, source: sourceOf(set), why, fix }] };
  },
};

const tlsFiles: Check = {
  looksAt: ['tls.certPath', 'tls.keyPath'],
  run(config, sourceOf) {
    if (!hasTls(config)) return {};
    const cert = { path: config.tls.certPath, source: sourceOf('tls.certPath') };
    return checkTlsFiles(cert, { path: config.tls.keyPath, source: sourceOf('tls.keyPath') });
  },
};

const OTHER_PORTS = ['tls.implicitPort', 'tls.legacyPort'] as const;

/** Ports beside `port`, which only make sense with a certificate. */
const otherPorts: Check = {
  looksAt: ['port', ...OTHER_PORTS, 'tls.certPath', 'tls.keyPath'],
  run({ port, tls }, sourceOf) {
    const taken = new Map<number, string>([[port, 'port']]);
    const problems: ConfigProblem[] = [];
    for (const setting of OTHER_PORTS) {
      const number = setting === 'tls.implicitPort' ? tls.implicitPort : tls.legacyPort;
      if (number === 0) continue;
      const problem = { setting, source: sourceOf(setting) };
      if (tls.certPath === '' && tls.keyPath === '') {
        const fix = `set tls.certPath and tls.keyPath, or set ${setting} to 0`;
        problems.push({ ...problem, why: 'a port for TLS needs a certificate and a key', fix });
      }
      const other = taken.get(number);
      if (other !== undefined) {
        const fix = 'choose another port for one of them';
        problems.push({ ...problem, why: `port ${number} is also the value of ${other}`, fix });
      }
      taken.set(number, setting);
    }
    return { problems };
  },
};

const opensendRecipients: Check = {
  looksAt: ['limits.recipients', 'pipeline'],
  run({ limits, pipeline }, sourceOf) {
    if (pipeline !== 'opensend' || limits.recipients <= OPENSEND_RECIPIENTS) return {};
    const why = `OpenSend's worker can deliver a message to no more than ${OPENSEND_RECIPIENTS} recipients`;
    const fix = `choose ${OPENSEND_RECIPIENTS} or less, or set pipeline to standalone`;
    return { problems: [{ setting: 'limits.recipients', source: sourceOf('limits.recipients'), why, fix }] };
  },
};

/** Transports that cannot be used without one of their settings, a smarthost for instance. */
const NEEDY = TRANSPORT_KINDS.flatMap(kind => {
  const { needs } = descriptionOf(kind);
  return needs ? [{ kind, ...needs, name: `${kind}.${needs.setting}` as SettingName }] : [];
});

/** Only the standalone worker sends by a transport of the configuration. */
const transportNeeds: Check = {
  looksAt: ['pipeline', 'transport', 'routes', ...NEEDY.map(({ name }) => name)],
  run(config, sourceOf) {
    if (config.pipeline !== 'standalone') return {};
    const lacks = (setting: SettingName, why: string, fix: string): ConfigProblem => {
      return { setting, source: sourceOf(setting), why, fix };
    };
    const needy = NEEDY.filter(({ name }) => settingIn(config, name) === '');
    const problems = needy.flatMap(({ kind, what, setting, name }) => {
      const ofRoutes = config.routes.flatMap((route, index) => {
        const own: Readonly<Record<string, unknown>> = route[kind] ?? {};
        if (route.transport !== kind || own[setting] !== undefined) return [];
        const fix = `set routes[${index}].${name}, or ${name}`;
        return [lacks('routes', `routes[${index}] has no ${what}`, fix)];
      });
      if (config.transport !== kind) return ofRoutes;
      const fix = `set ${name} (${defaultEnvName(name)})`;
      return [...ofRoutes, lacks('transport', `the transport ${kind} has no ${what}`, fix)];
    });
    return { problems };
  },
};

const bucketForOriginals: Check = {
  looksAt: ['pipeline', 'originals.store', 'originals.s3.bucket'],
  run({ pipeline, originals }, sourceOf) {
    if (pipeline !== 'standalone' || originals.store !== 's3' || originals.s3.bucket !== '') return {};
    const fix = 'set originals.s3.bucket (SMTP_RELAY_ORIGINALS_S3_BUCKET), or originals.store to postgres';
    const why = 'no bucket is named for what is to be kept there';
    return { problems: [{ setting: 'originals.store', source: sourceOf('originals.store'), why, fix }] };
  },
};

/** OpenSend's worker knows no captured messages: it would send them. */
const captureNeedsOurWorker: Check = {
  looksAt: ['recipientsElsewhere', 'pipeline'],
  run({ recipientsElsewhere, pipeline }, sourceOf) {
    if (recipientsElsewhere !== 'capture' || pipeline === 'standalone') return {};
    const why = "OpenSend's worker cannot capture messages, and would deliver them";
    const fix = 'set recipientsElsewhere to refuse, or pipeline to standalone';
    return { problems: [{ setting: 'recipientsElsewhere', source: sourceOf('recipientsElsewhere'), why, fix }] };
  },
};

/** Addresses that other machines do not reach. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/i;

/** Whoever opens the inbox reads all messages that it shows. */
const safeInbox: Check = {
  looksAt: ['inbox.enabled', 'inbox.host', 'inbox.token', 'pipeline'],
  run({ inbox, pipeline }, sourceOf) {
    const isSafe = inbox.token !== '' || LOOPBACK.test(inbox.host);
    if (!inbox.enabled || pipeline !== 'standalone' || isSafe) return {};
    const why = 'other machines reach it, and without a token anybody could read every message';
    const fix = 'set inbox.token (SMTP_RELAY_INBOX_TOKEN), or inbox.host to 127.0.0.1';
    return { problems: [{ setting: 'inbox.host', source: sourceOf('inbox.host'), why, fix }] };
  },
};

/** A warning and no more: installations that come from OpenSend may have a shorter one, and go on. */
const shortTrackingSecret: Check = {
  looksAt: ['tracking.secrets', 'pipeline'],
  run({ tracking, pipeline }) {
    if (pipeline !== 'standalone' || tracking.secrets.every(({ length }) => length >= SAFE_SECRET)) return {};
    const text = `tracking.secrets: one of them has fewer than ${SAFE_SECRET} characters: whoever guesses it can make links that lead anywhere. Put a long one in front, from \`openssl rand -base64 32\` for instance.`;
    return { warnings: [text] };
  },
};

/** Warnings and no more: files and variables may be shared with OpenSend itself, or with a standalone installation. */
const withoutEffect: Check = {
  looksAt: ['pipeline'],
  run({ pipeline }, sourceOf) {
    if (pipeline !== 'opensend') return {};
    const warnings = settings.flatMap(({ name, generalEnv, standaloneOnly }) => {
      const source = sourceOf(name);
      // A variable that others define for more than this setting counts for the rest.
      if (standaloneOnly === undefined || source === 'default' || source === `env:${generalEnv}`) return [];
      return `${name}: set (${source}), but without effect in the pipeline opensend. ${standaloneOnly}`;
    });
    return { warnings };
  },
};

/** A warning and no more: OpenSend connects so, and its URLs are to work as they are. */
const anyDatabaseServer: Check = {
  looksAt: ['databaseUrl', 'migrationsDatabaseUrl', 'database.host', 'database.sslMode', 'database.tlsCaFile'],
  run(config) {
    if (!trustsAnyServer(config)) return {};
    const text =
      "databaseUrl: its host is under amazonaws.com and nothing says how to check who answers, so that connections are encrypted, but anybody in between could answer in the database's place. Get the bundle of authorities from https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem, and name it in database.tlsCaFile (SMTP_RELAY_DATABASE_TLS_CA_FILE); or write sslmode=no-verify where that is meant.";
    return { warnings: [text] };
  },
};

const roomForOneMessage: Check = {
  looksAt: ['limits.bytesInFlight', 'maxMessageSizeBytes'],
  run({ limits, maxMessageSizeBytes }, sourceOf) {
    if (maxMessageSizeBytes <= limits.bytesInFlight) return {};
    const source = sourceOf('limits.bytesInFlight');
    const why = `one message may have ${maxMessageSizeBytes} bytes (maxMessageSizeBytes), which never find room in it`;
    const fix = `set limits.bytesInFlight to ${maxMessageSizeBytes} at least, or maxMessageSizeBytes to less`;
    return { problems: [{ setting: 'limits.bytesInFlight', source, why, fix }] };
  },
};

/**
 * Checks settings against each other, and the TLS files that they name.
 *
 * @param wrong the settings whose own values are wrong, and which therefore hold something else just now
 */
export function checkTogether(
  config: Config,
  sourceOf: (name: SettingName) => string,
  wrong: ReadonlySet<string>,
  options: { readonly tlsFiles: boolean },
): CheckResult {
  const checks = [
    tlsPair,
    otherPorts,
    opensendRecipients,
    transportNeeds,
    captureNeedsOurWorker,
    safeInbox,
    bucketForOriginals,
    shortTrackingSecret,
    roomForOneMessage,
    anyDatabaseServer,
    withoutEffect,
    ...(options.tlsFiles ? [tlsFiles] : []),
  ];
  const results = checks
    .filter(({ looksAt }) => !looksAt.some(name => wrong.has(name)))
    .map(check => check.run(config, sourceOf));
  return {
    problems: results.flatMap(({ problems = [] }) => problems),
    warnings: results.flatMap(({ warnings = [] }) => warnings),
  };
}
