import { Counter, Gauge, Histogram } from 'prom-client';
import { type MessageStep, STEPS, type StepTimes } from '../intake/steps.ts';
import { LEFT_OUT_REASONS } from '../message/header/row-headers.ts';
import type { Registry } from '../observability/metrics.ts';
import { isSampled, type TraceContext } from '../observability/tracing.ts';

/** Read when they are scraped. */
export interface ListenerState {
  readonly connections: () => number;
  /** Client addresses that have any. */
  readonly addresses: () => number;
  readonly bytesInFlight: () => number;
}

const LOGIN_RESULTS = ['succeeded', 'failed', 'refused', 'fault', 'trusted'] as const;
const MESSAGE_RESULTS = [
  'queued',
  'repeated',
  'sandbox',
  'captured',
  'refused',
  'deferred',
  'fault',
  'abandoned',
] as const;

const CHAOS_ACTIONS = ['refuse', 'slow', 'cut', 'late'] as const;

export type LoginResult = (typeof LOGIN_RESULTS)[number];
export type MessageResult = (typeof MESSAGE_RESULTS)[number];

export interface SmtpMetrics {
  /** Connections that got as far as a greeting or its refusal. */
  readonly connections: Counter;
  readonly sessions: Gauge;
  readonly logins: Counter<'result'>;
  /** Seconds that log-ins were made to wait after failed ones. */
  readonly loginDelays: Histogram;
  readonly messages: Counter<'result'>;
  /** Accepted messages whose clients had gone by then. */
  readonly unheard: Counter;
  /** `step` and `rule` are from fixed sets: commands, and the rules of `Refusal`. */
  readonly refusals: Counter<'step' | 'rule'>;
  /** Headers of accepted messages. */
  readonly headersLeftOut: Counter<'reason'>;
  /** What went wrong on purpose (`KeyChaos`). */
  readonly chaos: Counter<'action'>;
  /** @param seconds from the end of a message to its 250 */
  readonly accepted: (seconds: number, trace: TraceContext) => void;
  readonly steps: StepTimes;
  /** Counts a reply by the class of its code. */
  readonly replied: (code: number) => void;
}

/** What clients do, and what they are told. */
export function createSmtpMetrics(registry: Registry): SmtpMetrics {
  const registers = [registry];
  const metrics = {
    connections: new Counter({
      name: 'smtp_relay_connections_total',
      help: 'Client connections that were opened, those that were refused included',
      registers,
    }),
    sessions: new Gauge({
      name: 'smtp_relay_sessions',
      help: 'Sessions that are logged in, or that a trusted network stands for',
      registers,
    }),
    logins: new Counter({
      name: 'smtp_relay_logins_total',
      help: 'Log-ins by result: succeeded, failed (wrong key), refused (a limit), fault (the key could not be looked up), trusted (a session of a trusted network)',
      labelNames: ['result'],
      registers,
    }),
    loginDelays: new Histogram({
      name: 'smtp_relay_login_delay_seconds',
      help: 'How long log-ins were made to wait after failed ones',
      buckets: [1, 2, 4, 8, 16, 32],
      registers,
    }),
    messages: new Counter({
      name: 'smtp_relay_messages_total',
      help: 'Messages that arrived in full, by result: queued, repeated (stored before), sandbox (stored, and goes to nobody), captured, refused (5xx), deferred (4xx), fault, abandoned (the client went before it was stored)',
      labelNames: ['result'],
      registers,
    }),
    unheard: new Counter({
      name: 'smtp_relay_messages_unheard_total',
      help: 'Messages that were accepted although their clients had gone by then, which may send them again (RFC 1047); their commit was under way already',
      registers,
    }),
    refusals: new Counter({
      name: 'smtp_relay_refusals_total',
      help: 'Connections, commands and messages that were not accepted, by the step and the rule that refused; fault is what went wrong on our side',
      labelNames: ['step', 'rule'],
      registers,
    }),
    headersLeftOut: new Counter<'reason'>({
      name: 'smtp_relay_headers_left_out_total',
      help: 'Headers of accepted messages that a row for OpenSend cannot carry, by reason: count (more than 14), length (over 870 characters), name (over 126 characters), empty, characters (an address that is not ASCII), replaced (the worker sets it itself)',
      labelNames: ['reason'],
      registers,
    }),
    chaos: new Counter({
      name: 'smtp_relay_chaos_total',
      help: `What went wrong on purpose, for keys in sandbox: ${CHAOS_ACTIONS.join(', ')}`,
      labelNames: ['action'],
      registers,
    }),
    accepted: createAcceptance(registry),
    steps: createStepTimes(registers),
    replied: createReplyCount(registers),
  };
  for (const result of LOGIN_RESULTS) metrics.logins.inc({ result }, 0);
  for (const result of MESSAGE_RESULTS) metrics.messages.inc({ result }, 0);
  for (const action of CHAOS_ACTIONS) metrics.chaos.inc({ action }, 0);
  for (const reason of LEFT_OUT_REASONS) metrics.headersLeftOut.inc({ reason }, 0);
  return metrics;
}

/** What took long is found in the traces: the newest of each bucket that is recorded. */
function createAcceptance(registry: Registry): SmtpMetrics['accepted'] {
  const acceptance = new Histogram({
    name: 'smtp_relay_acceptance_duration_seconds',
    help: 'Time from the end of a message to its 250',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    enableExemplars: true,
    registers: [],
  });
  // Not by `registers`: the library allows exemplars in registries of OpenMetrics only (`createExposition`).
  registry.registerMetric(acceptance);
  return (value, trace) => {
    const exemplarLabels = isSampled(trace) ? { trace_id: trace.correlationId } : {};
    acceptance.observe({ labels: {}, value, exemplarLabels });
  };
}

/** There are several replies to a message; see `createStepTimes`. */
function createReplyCount(registers: Registry[]): (code: number) => void {
  const counts = [0, 0, 0, 0, 0, 0];
  new Counter({
    name: 'smtp_relay_replies_total',
    help: 'SMTP replies by class: 2xx, 3xx (go on), 4xx (try again later), 5xx',
    labelNames: ['class'],
    registers,
    collect() {
      for (const digit of [2, 3, 4, 5]) {
        this.inc({ class: `${digit}xx` }, counts[digit]);
        counts[digit] = 0;
      }
    },
  });
  return code => {
    const digit = Math.floor(code / 100);
    counts[digit] = (counts[digit] ?? 0) + 1;
  };
}

/** Added up beside the counter, and told to it when it is asked: that costs a message next to nothing. */
function createStepTimes(registers: Registry[]): StepTimes {
  const milliseconds = Object.fromEntries(STEPS.map(step => [step, 0])) as Record<MessageStep, number>;
  new Counter({
    name: 'smtp_relay_acceptance_step_seconds_total',
    help: `Time spent on messages between their end and the reply, by step: ${STEPS.join(', ')}`,
    labelNames: ['step'],
    registers,
    collect() {
      for (const step of STEPS) {
        this.inc({ step }, milliseconds[step] / 1000);
        milliseconds[step] = 0;
      }
    },
  });
  return {
    add(step, time) {
      milliseconds[step] += time;
    },
  };
}

/** What the listeners have open. */
export function observeListeners(registry: Registry, state: ListenerState): void {
  const { connections, addresses, bytesInFlight } = state;
  gauge(registry, 'smtp_relay_connections', 'Client connections that are open', connections);
  gauge(registry, 'smtp_relay_client_addresses', 'Client addresses that have connections', addresses);
  gauge(registry, 'smtp_relay_bytes_in_flight', 'Bytes of messages that are being received or stored', bytesInFlight);
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}
