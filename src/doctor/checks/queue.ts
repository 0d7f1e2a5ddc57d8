import { type CallSqs, createSqsCaller, SqsCallError } from '../../queue/sqs/call.ts';
import { advice, type DoctorParts, type Finding, failed, ok, skipped } from '../finding.ts';

/** A queue, and what is wanted of it. */
interface Wanted {
  readonly what: string;
  readonly url: string;
  readonly setting: string;
  readonly sends: boolean;
  readonly receives: boolean;
}

/** Milliseconds of one call. */
const REQUEST_TIMEOUT = 5_000;
const DENIED = /AccessDenied|NotAuthorized|Forbidden|^Http403/;
const GONE = /NonExistentQueue|QueueDoesNotExist/;
const NO_RECEIPT = 'smtp-relay-doctor';

/**
 * Calls that SQS refuses for their form wherever it does not refuse them for want of rights: nothing is sent, received, hidden or
 * deleted by them. A call that would be answered by its form before its rights are looked at tells nothing, and is taken for allowed.
 */
const SENDING: Readonly<Record<string, (call: CallSqs, QueueUrl: string) => Promise<unknown>>> = {
  'sqs:SendMessage': (call, QueueUrl) => call('SendMessageBatch', { QueueUrl, Entries: [] }),
};
const RECEIVING: typeof SENDING = {
  'sqs:ReceiveMessage': (call, QueueUrl) => call('ReceiveMessage', { QueueUrl, MaxNumberOfMessages: 0 }),
  'sqs:DeleteMessage': (call, QueueUrl) => call('DeleteMessage', { QueueUrl, ReceiptHandle: NO_RECEIPT }),
  'sqs:ChangeMessageVisibility': (call, QueueUrl) =>
    call('ChangeMessageVisibility', { QueueUrl, ReceiptHandle: NO_RECEIPT, VisibilityTimeout: 0 }),
};

/** Whether the queue of jobs is there, and takes what relay and worker do with it. */
export async function checkJobs({ config, role }: DoctorParts): Promise<Finding[]> {
  const what = 'queue of jobs';
  if (config.queueUrl === '') {
    const how = config.pipeline === 'standalone' ? 'jobs come' : "OpenSend's worker takes messages";
    return [skipped(what, `none (BACKGROUND_JOBS_QUEUE_URL): ${how} straight from the database`)];
  }
  const receives = config.pipeline === 'standalone' && role !== 'relay';
  const wanted = { what, url: config.queueUrl, setting: 'BACKGROUND_JOBS_QUEUE_URL', sends: true, receives };
  return checkQueue(config, wanted);
}

/** Whether bounces and complaints can come back. */
export async function checkEvents({ config, role }: DoctorParts): Promise<Finding[]> {
  const what = 'queue of events';
  if (config.pipeline !== 'standalone' || role === 'relay')
    return [skipped(what, 'a worker of this program reads it, and there is none')];
  if (config.events.queueUrl !== '') {
    const setting = 'SMTP_RELAY_EVENTS_QUEUE_URL';
    return checkQueue(config, { what, url: config.events.queueUrl, setting, sends: false, receives: true });
  }
  if (config.events.snsTopics.length > 0) return [skipped(what, 'none: SNS brings events to the public listener')];
  const detail = 'none, so that nobody hears of bounces and complaints';
  return config.transport === 'ses'
    ? [advice(what, detail, 'set SMTP_RELAY_EVENTS_QUEUE_URL or SMTP_RELAY_EVENTS_SNS_TOPICS (docs/events.md)')]
    : [skipped(what, detail)];
}

async function checkQueue(config: DoctorParts['config'], wanted: Wanted): Promise<Finding[]> {
  const { url, sends, receives } = wanted;
  const { awsRegion, sqsEndpoint } = config;
  const { call, close } = createSqsCaller({
    queueUrl: url,
    region: awsRegion,
    endpoint: sqsEndpoint || null,
    connections: 4,
    requestTimeout: REQUEST_TIMEOUT,
    attempts: 1,
  });
  try {
    const existence = await checkExistence(call, wanted);
    if (existence.some(({ state }) => state === 'failed')) return existence;
    const calls = { ...(sends && SENDING), ...(receives && RECEIVING) };
    return [...existence, await checkCalls(call, wanted, calls)];
  } finally {
    close();
  }
}

async function checkExistence(call: CallSqs, { what, url, setting }: Wanted): Promise<Finding[]> {
  try {
    const { Attributes } = await call('GetQueueAttributes', { QueueUrl: url, AttributeNames: ['All'] });
    const { ApproximateNumberOfMessages: depth = '?', RedrivePolicy } = (Attributes ?? {}) as Record<string, string>;
    const there = ok(what, `${url} is there, with about ${depth} messages`);
    if (RedrivePolicy !== undefined) return [there];
    const detail = 'it has none: a message that nobody can read comes again for as long as the queue keeps it';
    return [there, advice(`dead letters of the ${what}`, detail, 'give it a redrive policy (docs/operations.md)')];
  } catch (error) {
    if (!(error instanceof SqsCallError)) {
      const { message } = error instanceof Error ? error : new Error(String(error));
      const remedy = `check ${setting}, AWS_ENDPOINT_URL_SQS and the credentials of AWS`;
      return [failed(what, `SQS cannot be asked: ${message}`, remedy)];
    }
    if (GONE.test(error.name)) return [failed(what, `SQS knows no queue ${url}`, `check ${setting} and AWS_REGION`)];
    if (DENIED.test(error.name)) {
      const detail = `whether ${url} is there cannot be seen: ${error.name}`;
      return [advice(what, detail, 'allow sqs:GetQueueAttributes (docs/iam.md)')];
    }
    return [
      failed(what, `SQS answers ${error.name}: ${error.message}`, `check ${setting}, AWS_REGION and credentials`),
    ];
  }
}

async function checkCalls(call: CallSqs, { what, url }: Wanted, calls: typeof SENDING): Promise<Finding> {
  const denied = await Promise.all(
    Object.entries(calls).map(async ([action, make]) => ((await isDenied(() => make(call, url))) ? [action] : [])),
  );
  const actions = denied.flat();
  const name = `rights on the ${what}`;
  if (actions.length === 0) return ok(name, `none of ${Object.keys(calls).join(', ')} is refused`);
  return failed(name, `AWS refuses ${actions.join(', ')}`, `allow ${actions.join(', ')} (docs/iam.md)`);
}

async function isDenied(make: () => Promise<unknown>): Promise<boolean> {
  try {
    await make();
    return false;
  } catch (error) {
    return error instanceof SqsCallError && DENIED.test(error.name);
  }
}
