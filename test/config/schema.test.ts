import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assembleConfig, type Config, settings } from '../../src/config/schema.ts';
import { load } from './support/fixtures.ts';

describe('settings', () => {
  it('have the variables that existing deployments and other parts rely on', () => {
    const env = Object.fromEntries(settings.map(setting => [setting.name, setting.env]));
    const fixed = {
      databaseUrl: 'DATABASE_URL',
      migrationsDatabaseUrl: 'MIGRATIONS_DATABASE_URL',
      'database.host': 'PGHOST',
      'database.port': 'PGPORT',
      'database.name': 'PGDATABASE',
      'database.user': 'PGUSER',
      'database.password': 'PGPASSWORD',
      'database.passwordFile': 'DATABASE_PASSWORD_FILE',
      'database.sslMode': 'PGSSLMODE',
      'database.sslRootCert': 'PGSSLROOTCERT',
      queueUrl: 'BACKGROUND_JOBS_QUEUE_URL',
      awsRegion: 'AWS_REGION',
      host: 'SMTP_RELAY_HOST',
      port: 'SMTP_RELAY_PORT',
      maxMessageSizeBytes: 'SMTP_RELAY_MAX_MESSAGE_SIZE_BYTES',
      'tls.certPath': 'SMTP_RELAY_TLS_CERT_PATH',
      'tls.keyPath': 'SMTP_RELAY_TLS_KEY_PATH',
      'tls.implicitPort': 'SMTP_RELAY_TLS_IMPLICIT_PORT',
      pipeline: 'SMTP_RELAY_PIPELINE',
      transport: 'SMTP_RELAY_TRANSPORT',
      migrations: 'SMTP_RELAY_MIGRATIONS',
      recipients: 'SMTP_RELAY_RECIPIENTS',
      suppression: 'SMTP_RELAY_SUPPRESSION',
      'proxyProtocol.headerTimeout': 'SMTP_RELAY_PROXY_PROTOCOL_HEADER_TIMEOUT',
      'limits.bytesInFlight': 'SMTP_RELAY_LIMITS_BYTES_IN_FLIGHT',
    };
    assert.deepEqual({ ...env, ...fixed }, env);
  });

  it('have variables of their own, also as NAME_FILE', () => {
    const names = settings.flatMap(({ env }) => [env, `${env}_FILE`]);
    assert.equal(new Set(names).size, names.length);
  });

  for (const { name, doc, format, default: value, sensitive } of settings) {
    it(`${name} is explained in a sentence, and its format can write its default`, () => {
      assert.match(doc, /^\S.*[.)]$/);
      assert.doesNotMatch(doc, /\n/);
      assert.deepEqual(format.parse(format.print(value)), value);
    });
    if (sensitive) it(`${name} has no secret as its default`, () => assert.equal(format.print(value), ''));
  }
});

describe('the configuration', () => {
  it('has the documented defaults', () => {
    const { databaseUrl: _, ...config } = load({}).config;
    const expected: Omit<Config, 'databaseUrl'> = {
      queueUrl: '',
      awsRegion: 'us-east-1',
      sqsEndpoint: '',
      migrations: 'auto',
      migrationsDatabaseUrl: '',
      preparedStatements: 'auto',
      database: {
        host: '',
        port: 0,
        name: '',
        user: '',
        password: '',
        passwordFile: '',
        sslMode: '',
        sslRootCert: '',
        tlsCaFile: '',
        poolSize: 10,
        connectTimeout: 5000,
        statementTimeout: 30_000,
      },
      originals: {
        store: 'postgres',
        objectBytes: 262_144,
        s3: { bucket: '', prefix: '', region: '', endpoint: '', encryption: 'bucket', kmsKeyId: '' },
      },
      publishing: { concurrency: 8, sweepInterval: 2000, leaseTime: 5000 },
      host: '0.0.0.0',
      port: 2587,
      hostname: '',
      tls: {
        certPath: '',
        keyPath: '',
        implicitPort: 0,
        minVersion: 'TLSv1.2',
        ciphers: '',
        legacyPort: 0,
        legacyMinVersion: 'TLSv1',
        legacyCiphers: 'DEFAULT@SECLEVEL=0',
      },
      proxyProtocol: { networks: [], headerTimeout: 5000 },
      trustedNetworks: [],
      drainDelay: 0,
      shutdownTimeout: 25_000,
      pipeline: 'opensend',
      transport: 'ses',
      recipients: 'envelope',
      suppression: 'message',
      recipientAllowList: [],
      recipientsElsewhere: 'refuse',
      simulatedRecipients: 'on',
      simulatedDelay: 2_000,
      senderDomains: 'auto',
      bareLineEndings: 'reject',
      longLines: 'encode',
      receivedHeader: 'private',
      maxMessageSizeBytes: 47_185_920,
      parsing: { threadBytes: 65_536, threads: 1, timeout: 30_000 },
      limits: {
        recipients: 0,
        attachmentBytes: 41_943_040,
        bytesInFlight: 268_435_456,
        bytesShare: 75,
        connections: 10_000,
        connectionsPerAddress: 0,
        addressShare: 75,
        sessionsPerKey: 0,
        keyShare: 100,
        failedLogins: 10,
        failedLoginsPerAddress: 100,
        failedLoginsPerKey: 100,
        failedLoginsPeriod: 900_000,
        loginDelay: 10_000,
        messagesPerMinute: 0,
        recipientsPerMinute: 0,
        messagesPerDay: 0,
        recipientsPerDay: 0,
        headerBytes: 1_048_576,
        mimeDepth: 100,
        mimeParts: 1000,
        loginTimeout: 60_000,
        idleTimeout: 300_000,
        dataTimeout: 600_000,
        dataRate: 100,
        dataGrace: 60_000,
        sessionTimeout: 3_600_000,
      },
      worker: {
        consumers: 16,
        concurrency: 128,
        callsPerRoute: 0,
        bytesInFlight: 33_554_432,
        leaseTime: 60_000,
        pollInterval: 1000,
        journal: '',
        republishAfter: 600_000,
      },
      retries: { firstPause: 10_000, longestPause: 3_600_000, limit: 86_400_000, maxAge: 432_000_000 },
      onUnknownOutcome: 'retry',
      failureNotices: 'off',
      routes: [],
      ses: {
        endpoint: '',
        region: '',
        configurationSet: '',
        roleArn: '',
        clientSignatures: 'remove',
        sendRate: 0,
        timeout: 60_000,
      },
      smtp: {
        host: '',
        port: 587,
        security: 'starttls',
        user: '',
        password: '',
        connections: 10,
        timeout: 60_000,
        caPath: '',
      },
      capture: { directory: 'captured' },
      fairQueue: true,
      httpHost: '0.0.0.0',
      httpPort: 8080,
      publicHost: '0.0.0.0',
      publicPort: 8081,
      tracking: { baseUrl: '', secrets: [], hitsPerHour: 200 },
      events: { snsTopics: [], queueUrl: '' },
      webhooks: {
        secretKeys: [],
        concurrency: 8,
        timeout: 10_000,
        allowedNetworks: [],
        disableAfter: 432_000_000,
      },
      retention: {
        messages: 31_536_000_000,
        raw: 2_592_000_000,
        bodies: Number.POSITIVE_INFINITY,
        events: Number.POSITIVE_INFINITY,
        deliveries: 2_592_000_000,
      },
      domains: { shared: false },
      inbox: { enabled: false, host: '127.0.0.1', port: 8025, token: '' },
      operatorPage: {
        enabled: true,
        sessions: 'masked',
        guideUrl: 'https://github.com/opensend/opensend-smtp-relay/blob/main/docs/troubleshooting.md',
      },
      resources: { directory: '', secretsDirectory: '', allowEmpty: false, byHand: false, interval: 30_000 },
      logLevel: 'info',
      sessions: { kept: 86_400_000 },
      logFormat: 'json',
    };
    assert.deepEqual(config, expected);
  });

  it('cannot be changed, at any depth', () => {
    const { config } = load({ SMTP_RELAY_PROXY_PROTOCOL_NETWORKS: '10.0.0.0/8' });
    for (const part of [config, config.limits, config.proxyProtocol.networks]) assert.ok(Object.isFrozen(part));
  });

  it('shares nothing between two loads', () => {
    load({ SMTP_RELAY_PORT: '1', SMTP_RELAY_PROXY_PROTOCOL_NETWORKS: '10.0.0.0/8' });
    const { config } = load({});
    assert.equal(config.port, 2587);
    assert.deepEqual(config.proxyProtocol.networks, []);
  });

  it('refuses values that its formats cannot write', () => {
    assert.throws(() => assembleConfig(new Map([['port', 70_000]])), /port/);
    assert.throws(() => assembleConfig(new Map([['logLevel', 'loud']])), /logLevel/);
  });
});
