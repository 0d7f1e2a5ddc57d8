import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  errorType,
  isSampled,
  NO_TRACING,
  newTrace,
  readTraceparent,
  within,
} from '../../src/observability/tracing.ts';

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN_ID = '00f067aa0ba902b7';

describe('a traceparent', () => {
  it('is read as W3C Trace Context has it', () => {
    const traceparent = `00-${TRACE_ID}-${SPAN_ID}-01`;
    assert.deepEqual(readTraceparent(traceparent), {
      correlationId: TRACE_ID,
      spanId: SPAN_ID,
      sampled: true,
      traceparent,
    });
    assert.equal(readTraceparent(`00-${TRACE_ID}-${SPAN_ID}-02`)?.sampled, false);
  });

  for (const text of [
    '',
    'x',
    `01-${TRACE_ID}-${SPAN_ID}-01`,
    `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`,
    `00-${TRACE_ID}-${SPAN_ID}-01\n`,
  ])
    it(`is not ${JSON.stringify(text)}`, () => assert.equal(readTraceparent(text), null));

  it('that we begin without tracing is not sampled', () => {
    const trace = newTrace();
    assert.equal(readTraceparent(trace.traceparent)?.correlationId, trace.correlationId);
    assert.equal(isSampled(trace), false);
    assert.notEqual(newTrace().correlationId, trace.correlationId);
  });
});

describe('without tracing', () => {
  it('a span belongs to what it is part of, and begins a trace where it is part of nothing', () => {
    const traceparent = `00-${TRACE_ID}-${SPAN_ID}-01`;
    assert.equal(NO_TRACING.start('a', { parent: traceparent }).context.traceparent, traceparent);
    const root = NO_TRACING.start('a');
    assert.match(root.context.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    assert.equal(NO_TRACING.start('b', { parent: root }).context, root.context);
    assert.notEqual(NO_TRACING.start('c', { parent: 'no traceparent' }).context.correlationId, TRACE_ID);
    assert.equal(root.isRecording, false);
  });
});

describe('within a span', () => {
  it('work answers and fails as without it', async () => {
    const calls: string[] = [];
    const span = {
      ...NO_TRACING.start('a'),
      set: () => {},
      fail: (error: unknown) => void calls.push(`failed with ${errorType(error)}`),
      end: () => void calls.push('ended'),
    };
    assert.equal(await within(span, async () => 1), 1);
    assert.deepEqual(calls, ['ended']);
    const error = Object.assign(new Error('the subject of a message'), { code: '23505' });
    await assert.rejects(
      within(span, () => Promise.reject(error)),
      error,
    );
    assert.deepEqual(calls, ['ended', 'failed with 23505', 'ended']);
  });
});
