import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import {
  CreateEmailIdentityCommand,
  DeleteEmailIdentityCommand,
  GetAccountCommand,
  GetEmailIdentityCommand,
  ListEmailIdentitiesCommand,
  PutEmailIdentityMailFromAttributesCommand,
  SESv2Client,
  SendEmailCommand,
} from '@aws-sdk/client-sesv2';
import { eventually } from '../support/eventually.ts';
import { CREDENTIALS } from '../support/ses/sigv4.ts';
import { spawnFakeSes, startFakeSes } from '../support/ses/start.ts';

const ses = await startFakeSes({ after });

function client(
  t: { after(fn: () => void): void },
  credentials: { accessKeyId: string; secretAccessKey: string } = CREDENTIALS,
) {
  const opened = new SESv2Client({ endpoint: ses.endpoint, region: 'us-east-1', credentials, maxAttempts: 1 });
  t.after(() => opened.destroy());
  return opened;
}

/** The tests lean on this server, so the AWS SDK, as it comes, is asked whether it is like SES. */
describe('the fake SES', () => {
  it('takes a raw message from the SDK as it comes', async t => {
    const raw = Buffer.from('From: a@acme.test\r\n\r\nHello\r\n');
    const { MessageId } = await client(t).send(
      new SendEmailCommand({
        Content: { Raw: { Data: raw } },
        Destination: { ToAddresses: ['a@example.com'], BccAddresses: ['b@example.com'] },
        EmailTags: [{ Name: 'x', Value: 'y' }],
        ConfigurationSetName: 'set',
      }),
    );
    const received = ses.mailbox.messages.at(-1);
    assert.equal(received?.messageId, MessageId);
    assert.ok(received?.raw.equals(raw));
    assert.deepEqual(received?.recipients, ['a@example.com', 'b@example.com']);
    assert.deepEqual([received?.tags, received?.configurationSet, received?.region], [{ x: 'y' }, 'set', 'us-east-1']);
  });

  it('refuses requests that are not signed, or not with a key it knows, or not by its secret', async t => {
    const { ...unsigned } = await fetch(`${ses.endpoint}/v2/email/account`).then(response => ({
      status: response.status,
      name: response.headers.get('x-amzn-errortype'),
    }));
    assert.deepEqual(unsigned, { status: 403, name: 'MissingAuthenticationTokenException' });
    const account = new GetAccountCommand({});
    const unknown = client(t, { ...CREDENTIALS, accessKeyId: 'unknown' });
    await assert.rejects(() => unknown.send(account), { name: 'UnrecognizedClientException' });
    const wrong = client(t, { ...CREDENTIALS, secretAccessKey: 'wrong' });
    await assert.rejects(() => wrong.send(account), { name: 'SignatureDoesNotMatch' });
  });

  it('refuses a body that is not the one that was signed', async t => {
    const tampering = client(t);
    tampering.middlewareStack.add(
      next => async args => {
        const request = args.request as { body: Uint8Array };
        const text = new TextDecoder().decode(request.body);
        request.body = new TextEncoder().encode(text.replace('victim', 'other!'));
        return next(args);
      },
      { step: 'finalizeRequest', priority: 'low' },
    );
    const create = new CreateEmailIdentityCommand({ EmailIdentity: 'victim' });
    await assert.rejects(() => tampering.send(create), { name: 'SignatureDoesNotMatch' });
  });

  it('makes, shows, lists and deletes identities', async t => {
    const sesv2 = client(t);
    const EmailIdentity = 'acme.test';
    const created = await sesv2.send(new CreateEmailIdentityCommand({ EmailIdentity }));
    assert.equal(created.VerifiedForSendingStatus, false);
    assert.equal(created.DkimAttributes?.Tokens?.length, 3);
    await assert.rejects(() => sesv2.send(new CreateEmailIdentityCommand({ EmailIdentity })), {
      name: 'AlreadyExistsException',
    });
    const MailFromDomain = 'mail.acme.test';
    await sesv2.send(new PutEmailIdentityMailFromAttributesCommand({ EmailIdentity, MailFromDomain }));
    ses.account.identity(EmailIdentity).verified = true;
    const found = await sesv2.send(new GetEmailIdentityCommand({ EmailIdentity }));
    assert.equal(found.VerifiedForSendingStatus, true);
    assert.deepEqual(found.DkimAttributes?.Tokens, created.DkimAttributes?.Tokens);
    assert.equal(found.MailFromAttributes?.MailFromDomain, MailFromDomain);
    const { EmailIdentities = [] } = await sesv2.send(new ListEmailIdentitiesCommand({}));
    assert.deepEqual(
      EmailIdentities.map(({ IdentityName }) => IdentityName),
      [EmailIdentity],
    );
    await sesv2.send(new DeleteEmailIdentityCommand({ EmailIdentity }));
    await assert.rejects(() => sesv2.send(new GetEmailIdentityCommand({ EmailIdentity })), {
      name: 'NotFoundException',
    });
  });

  it('runs as a process of its own, and is told what to do over HTTP', async t => {
    const process = await spawnFakeSes({ latency: 1 });
    t.after(() => process.stop());
    await process.control('fault', { kind: 'error', status: 500, name: 'InternalServiceError' });
    const sesv2 = new SESv2Client({
      endpoint: process.endpoint,
      region: 'us-east-1',
      credentials: CREDENTIALS,
      maxAttempts: 1,
    });
    t.after(() => sesv2.destroy());
    const send = () =>
      sesv2.send(
        new SendEmailCommand({
          Content: { Raw: { Data: Buffer.from('From: a@acme.test\r\n\r\n') } },
          Destination: { ToAddresses: ['a@example.com'] },
          EmailTags: [{ Name: 'smtp-relay-email-id', Value: 'e1' }],
        }),
      );
    await assert.rejects(send, { name: 'InternalServiceError' });
    await send();
    const counts = await process.control('counts');
    assert.deepEqual(counts, { messages: 1, recipients: 1, bytes: 21, calls: { SendEmail: 2 } });
    const { notes } = await process.control<{ notes: { emailId: string }[] }>('notes?from=0');
    assert.deepEqual(
      notes.map(({ emailId }) => emailId),
      ['e1'],
    );
    await process.stop();
    await eventually(() => !isAlive(process.pid));
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
