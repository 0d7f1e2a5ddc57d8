import { GetAccountCommand, GetConfigurationSetCommand, SESv2Client } from '@aws-sdk/client-sesv2';
import { fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import type { Span } from '../../../observability/tracing.ts';
import { awsErrorOf, jsonOf } from '../../../platform/aws/answer.ts';
import { AwsSigner } from '../../../platform/aws/signer.ts';
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
const NO_LOGGER = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** SES in one region of one account. */
export class SesRegion {
  readonly #options: SesRegionOptions;
  readonly #client: SESv2Client;
  readonly #signer: AwsSigner;
  #url: Promise<URL> | undefined;

  constructor(options: SesRegionOptions) {
    const { region, endpoint, roleArn, handler } = options;
    this.#options = options;
    this.#client = new SESv2Client({
      region,
      ...(endpoint !== null && { endpoint }),
      ...(roleArn !== null && { credentials: assumedRole(roleArn, region) }),
      // Messages that fail are tried again from the database, with their own pauses.
      maxAttempts: 1,
      logger: NO_LOGGER,
      requestHandler: handler,
    });
    this.#signer = new AwsSigner({ identity: this.#client.config, service: 'ses', region });
  }

  /**
   * SendEmail with a raw message. Where this machine's clock turns out to be wrong, it is signed anew by that of SES.
   *
   * Signed with the SDK's credentials, but not taken through its middleware, which costs more than twice the processor time
   * of all the rest of a call (docs/performance.md).
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
    const signedAt = this.#signer.now;
    const response = await this.#call(parameters, raw, signal, span);
    if (!this.#signer.learnsFrom(response, signedAt)) return messageIdIn(response);
    return messageIdIn(await this.#call(parameters, raw, signal, span));
  }

  async #call(
    parameters: SendEmailParameters,
    raw: OutgoingBytes,
    signal: AbortSignal,
    span?: Span,
  ): Promise<SesHttpResponse> {
    const url = await this.#target();
    if (span?.isRecording) span.set(callAttributes(url, this.#options.region));
    const body = await sendEmailBody(parameters, raw, signal).catch(error => {
      throw signal.aborted ? notCalled() : error;
    });
    const unsigned = {
      method: 'POST',
      path: url.pathname.replace(/\/$/, '') + SEND_PATH,
      headers: { host: url.host, 'content-type': 'application/json', 'content-length': String(body.length) },
      sha256: body.sha256,
    };
    const request = {
      protocol: url.protocol,
      hostname: url.hostname,
      ...(url.port !== '' && { port: Number(url.port) }),
      method: unsigned.method,
      path: unsigned.path,
      headers: await this.#signer.sign(unsigned, this.#signer.now),
      body: body.content,
    };
    const { response } = await this.#options.handler.handle(request, { abortSignal: signal });
    if (span?.isRecording) span.set(answerAttributes(response));
    return response;
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

  /** Resolved once, since that is slow. */
  #target(): Promise<URL> {
    this.#url ??= this.#resolve().catch(error => {
      this.#url = undefined;
      throw error;
    });
    return this.#url;
  }

  async #resolve(): Promise<URL> {
    const { config } = this.#client;
    const { region, endpoint } = this.#options;
    const [useFips, useDualStack] = await Promise.all([config.useFipsEndpoint(), config.useDualstackEndpoint()]);
    const { url } = config.endpointProvider({
      Region: region,
      UseFIPS: useFips,
      UseDualStack: useDualStack,
      ...(endpoint !== null && { Endpoint: endpoint }),
    });
    return new URL(url.href);
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

/** @throws SesCallError unless the answer is a yes */
function messageIdIn(answer: SesHttpResponse): string {
  const { statusCode: status } = answer;
  const { MessageId: messageId } = jsonOf(answer);
  if (status === 200 && typeof messageId === 'string' && messageId !== '') return messageId;
  throw new SesCallError({ stage: 'answered', status, ...awsErrorOf(answer) });
}
