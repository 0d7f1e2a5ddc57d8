import { env } from 'node:process';
import { pino } from 'pino';
import type { OutgoingMessage } from '../../../src/delivery/transport/contract.ts';
import {
  createSesTransport,
  type SesDependencies,
  type SesOptions,
  type SesTransport,
} from '../../../src/delivery/transport/ses/transport.ts';
import { sesEnv } from './start.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

/** The transport under test, at that endpoint, closed afterwards. */
export function openSesTransport(
  t: TestContext,
  endpoint: string,
  options: Partial<SesOptions> & Partial<Pick<SesDependencies, 'liveWorkers' | 'sharedRates' | 'metrics'>> = {},
): SesTransport {
  // The AWS SDK finds its credentials nowhere else.
  const { AWS_ENDPOINT_URL_SESV2: _, ...environment } = sesEnv({ endpoint });
  Object.assign(env, environment);
  const { liveWorkers = () => 1, sharedRates, metrics, ...rest } = options;
  const transport = createSesTransport({
    options: {
      endpoint,
      region: 'eu-west-1',
      configurationSet: null,
      roleArn: null,
      sendRate: 0,
      timeout: 60_000,
      ...rest,
    },
    liveWorkers,
    ...(sharedRates && { sharedRates }),
    ...(metrics && { metrics }),
    logger: pino({ level: 'silent' }),
  });
  t.after(() => transport.close());
  return transport;
}

/** A small message from acme.test to one recipient. */
export function outgoing(overrides: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    emailId: '0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
    userId: 'acme',
    raw: Buffer.from('From: Acme <hello@acme.test>\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\nHello\r\n'),
    reversePath: 'hello@acme.test',
    from: 'hello@acme.test',
    recipients: ['bob@example.com'],
    bodyType: '7BIT',
    smtpUtf8: false,
    tags: [],
    domain: null,
    ...overrides,
  };
}
