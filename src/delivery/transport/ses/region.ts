import { createHash, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { GetAccountCommand, GetConfigurationSetCommand, SESv2Client } from '@aws-sdk/client-sesv2';
import { fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import type { Span } from '../../../observability/tracing.ts';
import type { AccountQuota } from '../../../store/delivery/send-rates.ts';
import type { OutgoingBytes } from '../../outgoing/bytes.ts';
import { notCalled, SesCallError, type SesHttpHandler, type SesHttpResponse } from './http.ts';
import { type SendEmailParameters, sendEmailBody } from './request.ts';

export interface SesRegionOptions {
  readonly region: string;
  /** null: where AWS says for the region. */
  readonly endpoint: string | null;
  /** null: the credentials of the SDK's own chain as they are. */
  readonly roleArn: string | null;
  readonly handler: SesHttpHandler;
}

const SEND_PATH = '/v2/email/outbound-emails';
/** Messages wait for it at the start. */
const ACCOUNT_TIMEOUT = 5_000;
/** Milliseconds; less than what SES lets pass. */
const CLOCK_TOLERANCE = 240_000;
const NO_LOGGER = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

type Client = SESv2Client['config'];
type Signer = Awaited<ReturnType<Client['signer']>>;

/** What is the same for every call: made once, since each part of it is slow. */
interface Prepared {
  readonly signer: Signer;
  readonly url: URL;
}

/** SES in one region of one account. */
export class SesRegion {
  readonly #options: SesRegionOptions;
  readonly #client: SESv2Client;
  #prepared: Promise<Prepared> | undefined;

  constructor(options: SesRegionOptions) {
    const { region, endpoint, roleArn, handler } = options;
    this.#options = options;
    this.#client = new SESv2Client({
      region,
      ...(endpoint !== null && { endpoint }),
      ...(roleArn !== null && { credentials: assumedRole(roleArn, region) }),
      // Messages that fail are tried again from the database, with their own pauses.
      maxAttempts: 1,
      sha256: createSha256(),
      logger: NO_LOGGER,
      requestHandler: handler,
    });
  }

  /**
   * SendEmail with a raw message. Where this machine's clock turns out to be wrong, it is signed anew by that of SES.
   *
   * Signed by the SDK's signer with the SDK's credentials, but not taken through its
   * middleware, which costs more than twice the processor time of all the rest of a call (docs/performance.md).
   *
   * @param span of the call, which is told what the semantic conventions for AWS and HTTP want to know
   * @returns the message's id at SES
   * @throws SesCallError; or the error of the SDK's credentials, before anything was sent
   */
  async sendEmail(
    parameters: SendEmailParameters,
    raw: OutgoingBytes,
    signal: AbortSignal,
    span?: Span,
  ): Promise<string> {
    const signedAt = this.#now;
    const response = await this.#call(parameters, raw, signal, span);
    if (!this.#learnsClock(response, signedAt)) return messageIdIn(response);
    return messageIdIn(await this.#call(parameters, raw, signal, span));
  }

  /** Milliseconds since 1970, with what this and the SDK's other calls have learnt of this machine's clock. */
  get #now(): number {
    return Date.now() + this.#client.config.systemClockOffset;
  }

  async #call(
    parameters: SendEmailParameters,
    raw: OutgoingBytes,
    signal: AbortSignal,
    span?: Span,
  ): Promise<SesHttpResponse> {
    const { signer, url } = await this.#prepare();
    if (span?.isRecording) span.set(callAttributes(url, this.#options.region));
    const body = await sendEmailBody(parameters, raw, signal).catch(error => {
      throw signal.aborted ? notCalled() : error;
    });
    const unsigned = {
      protocol: url.protocol,
      hostname: url.hostname,
      ...(url.port !== '' && { port: Number(url.port) }),
      method: 'POST',
      path: url.pathname.replace(/\/$/, '') + SEND_PATH,
      headers: {
        host: url.host,
        'content-type': 'application/json',
        'content-length': String(body.length),
        'x-amz-content-sha256': body.sha256,
      },
      body: body.content,
    };
    const signed = await signer.sign(unsigned, { signingDate: new Date(this.#now) });
    const { response } = await this.#options.handler.handle(
      { ...unsigned, headers: signed.headers },
      { abortSignal: signal },
    );
    if (span?.isRecording) span.set(answerAttributes(response));
    return response;
  }

  /**
   * SES refuses what was signed five minutes before or after its own time (IAM user guide, "Signature Version 4"), whatever it
   * calls that. @returns whether it has refused a call, and its time is another than the one that the call was signed with
   */
  #learnsClock({ statusCode, headers }: SesHttpResponse, signedAt: number): boolean {
    const theirs = Date.parse(headers['date'] ?? '');
    if (statusCode !== 403 || !(Math.abs(theirs - signedAt) >= CLOCK_TOLERANCE)) return false;
    this.#client.config.systemClockOffset = theirs - Date.now();
    return true;
  }

  /** What the account may send in this region. @throws Error of the SDK */
  async accountQuota(): Promise<AccountQuota> {
    const { SendQuota } = await this.#client.send(new GetAccountCommand({}), {
      abortSignal: AbortSignal.timeout(ACCOUNT_TIMEOUT),
    });
    const { MaxSendRate: rate, Max24HourSend: quota, SentLast24Hours: sent } = SendQuota ?? {};
    // SES API v2, SendQuota: -1 is no limit.
    const isLimited = quota !== undefined && quota >= 0;
    return { rate: rate !== undefined && rate > 0 ? rate : null, quota: isLimited ? quota : null, sent: sent ?? null };
  }

  /** Whether a configuration set sends by TLS only. @throws Error of the SDK, one for an unknown name too */
  async requiresTls(configurationSet: string): Promise<boolean> {
    const command = new GetConfigurationSetCommand({ ConfigurationSetName: configurationSet });
    return (await this.#client.send(command)).DeliveryOptions?.TlsPolicy === 'REQUIRE';
  }

  close(): void {
    this.#client.destroy();
  }

  #prepare(): Promise<Prepared> {
    this.#prepared ??= this.#resolve().catch(error => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }

  async #resolve(): Promise<Prepared> {
    const { config } = this.#client;
    const { region, endpoint } = this.#options;
    const [useFips, useDualStack] = await Promise.all([config.useFipsEndpoint(), config.useDualstackEndpoint()]);
    const { url } = config.endpointProvider({
      Region: region,
      UseFIPS: useFips,
      UseDualStack: useDualStack,
      ...(endpoint !== null && { Endpoint: endpoint }),
    });
    const scheme = { name: 'sigv4', signingName: 'ses', signingRegion: region, properties: {} };
    return { signer: await config.signer(scheme), url: new URL(url.href) };
  }
}

function callAttributes(url: URL, region: string) {
  return {
    'rpc.system': 'aws-api',
    'rpc.service': 'SESv2',
    'rpc.method': 'SendEmail',
    'cloud.region': region,
    'http.request.method': 'POST',
    'url.scheme': url.protocol.slice(0, -1),
    'server.address': url.hostname,
    'server.port': Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
  };
}

function answerAttributes({ statusCode, headers }: SesHttpResponse) {
  const requestId = headers['x-amzn-requestid'];
  return { 'http.response.status_code': statusCode, ...(requestId && { 'aws.request_id': requestId }) };
}

function assumedRole(roleArn: string, region: string) {
  return fromTemporaryCredentials({
    params: { RoleArn: roleArn, RoleSessionName: 'smtp-relay' },
    clientConfig: { region },
  });
}

/** Reads an answer as REST JSON 1 has it (Smithy, "AWS restJson1 protocol"). @throws SesCallError unless it is a yes */
function messageIdIn({ statusCode: status, headers, body }: SesHttpResponse): string {
  const answer = parseObject(body);
  const { MessageId: messageId } = answer;
  if (status === 200 && typeof messageId === 'string' && messageId !== '') return messageId;
  const message = answer['message'] ?? answer['Message'];
  throw new SesCallError({
    stage: 'answered',
    status,
    name: errorName(headers['x-amzn-errortype'] ?? answer['__type'] ?? answer['code']),
    message: typeof message === 'string' ? message : '',
  });
}

/** `aws.protocol#Name:http://…` is `Name`. */
function errorName(type: unknown): string | null {
  if (typeof type !== 'string') return null;
  const [name = ''] = type.split(':', 1);
  return name.slice(name.indexOf('#') + 1) || null;
}

function parseObject(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

type Data = string | ArrayBuffer | ArrayBufferView;

/**
 * SHA-256, and its HMAC where a secret is given, for the AWS SDK's signer. The SDK's own hands Node the signing key as bytes,
 * which costs several times the HMAC itself; here the key, which is the same all day, is made ready once.
 */
function createSha256() {
  /** Held as long as the bytes that they were made of. */
  const keys = new WeakMap<object, KeyObject>();

  function keyOf(secret: Data): KeyObject | string {
    if (typeof secret === 'string') return secret;
    const known = keys.get(secret);
    if (known) return known;
    const bytes = secret instanceof ArrayBuffer ? new Uint8Array(secret) : secret;
    const key = createSecretKey(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    keys.set(secret, key);
    return key;
  }

  return class Sha256 {
    readonly #secret: KeyObject | string | undefined;
    #hash: { update(data: Uint8Array): unknown; digest(): Buffer };

    constructor(secret?: Data) {
      this.#secret = secret === undefined ? undefined : keyOf(secret);
      this.#hash = this.#fresh();
    }

    update(data: Uint8Array): void {
      this.#hash.update(data);
    }

    async digest(): Promise<Uint8Array> {
      return this.#hash.digest();
    }

    reset(): void {
      this.#hash = this.#fresh();
    }

    #fresh() {
      return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret);
    }
  };
}
