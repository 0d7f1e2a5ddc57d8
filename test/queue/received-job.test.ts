import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type { OutboxJob } from '../../src/message/send-job.ts';
import { groupOfOwner, readReceived, sendJobBody } from '../../src/queue/sqs/job-format.ts';

const emailId = randomUUID();
const JOB: OutboxJob = {
  emailId,
  userId: 'acme',
  try: 0,
  correlationId: 'c0ffee'.padEnd(32, '0'),
  traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  requestedAt: new Date(),
};

function read(body: string, group?: string) {
  return readReceived({ body, group });
}

describe('readReceived', () => {
  it('reads what is published', () => {
    const { correlationId, traceparent } = JOB;
    const job = { emailId, userId: null, correlationId, traceparent };
    assert.deepEqual(read(sendJobBody(JOB)), { kind: 'job', job });
  });

  it('knows the owner by the message group, unless that is a hash or the group of all', () => {
    const ownerOf = (group: string): string | null => {
      const received = read(sendJobBody(JOB), group);
      return received.kind === 'job' ? received.job.userId : assert.fail(received.kind);
    };
    assert.equal(ownerOf(groupOfOwner('acme')), 'acme');
    assert.equal(ownerOf(groupOfOwner('Zoë')), null);
    assert.equal(ownerOf(groupOfOwner('email.send')), null);
    assert.equal(ownerOf('email.send'), null);
  });

  it('takes a job without a trace, or with one that is none', () => {
    for (const trace of [undefined, null, {}, { correlationId: 'x\ny', traceparent: 'z' }]) {
      const received = read(JSON.stringify({ type: 'email.send', emailId: emailId.toUpperCase(), trace }));
      assert.ok(received.kind === 'job');
      assert.equal(received.job.emailId, emailId);
      assert.match(received.job.correlationId, /^[0-9a-f]{32}$/);
      assert.match(received.job.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    }
  });

  it('tells the jobs of others from poison', () => {
    for (const type of ['webhook.dispatch', 'scheduled-email.scan', 'anything']) {
      assert.deepEqual(read(JSON.stringify({ type, emailId })), { kind: 'other' });
    }
    const poison: [string, string][] = [
      ['', 'not a JSON object'],
      ['{"type":"email.send"', 'not a JSON object'],
      ['null', 'not a JSON object'],
      ['[]', 'not a JSON object'],
      ['7', 'not a JSON object'],
      ['{}', 'no type'],
      [`{"type":1,"emailId":"${emailId}"}`, 'no type'],
      ['{"type":"email.send"}', 'no email id'],
      ['{"type":"email.send","emailId":7}', 'no email id'],
      [`{"type":"email.send","emailId":"${emailId}\\n"}`, 'no email id'],
    ];
    for (const [body, reason] of poison) assert.deepEqual(read(body), { kind: 'poison', reason }, body);
  });
});
