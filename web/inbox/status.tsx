import type { Summary } from '../../src/inbox/contract.ts';

const TONES: Readonly<Record<string, string>> = {
  sent: 'good',
  delivered: 'good',
  bounced: 'bad',
  complained: 'bad',
  failed: 'bad',
  suppressed: 'bad',
  queued: 'wait',
  processing: 'wait',
};

/** Where a message stands, and whether somebody has seen it. */
export function Status({ message: { status, events, sandbox } }: { readonly message: Summary }) {
  return (
    <span class="badges">
      {sandbox ? <span class="badge">sandbox</span> : null}
      {events['clicked'] ? <span class="badge accent">clicked</span> : null}
      {events['opened'] && !events['clicked'] ? <span class="badge accent">opened</span> : null}
      <span class={`badge ${TONES[status] ?? 'plain'}`}>{status}</span>
    </span>
  );
}
