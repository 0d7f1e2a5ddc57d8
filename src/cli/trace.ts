import { randomUUID } from 'node:crypto';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { rest } from '../flow/loop.ts';
import { comparableAddress, parseAddress } from '../message/addresses/address.ts';
import { createNetworkMatcher } from '../platform/networks.ts';
import { StoreError } from '../postgres/errors.ts';
import { endTrace, keepTrace, type TraceLine, takeTraceLines } from '../store/sessions/traces.ts';
import { type CliContext, examples, note, parseSpan, printable } from './command.ts';
import { withDatabase } from './database.ts';
import { keyIdOf, keyOption } from './key-option.ts';

interface TraceOptions {
  readonly key?: string;
  readonly client?: string;
  readonly recipient?: string;
  readonly for: number;
  readonly json?: boolean;
}

/** Milliseconds between two looks, and between two signs that somebody is still there. */
const LOOK = 300;
const SIGN = 4_000;

export function addTraceCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('trace')
      .description('Show sessions of clients as they happen, on all pods, without credentials and messages')
      .addOption(keyOption())
      .option('--client <address>', 'of this client address, or network (10.0.0.0/8)', parseClient)
      .option('--recipient <address>', 'in which somebody sends to this address', parseRecipient)
      .option('--for <time>', 'end after so long, such as 30s or 10m', parsePeriod, 3_600_000)
      .addOption(new Option('--json', 'print one JSON document a line'))
      .action((options: TraceOptions) => follow(context, options)),
    'trace --key "Billing server"',
    'trace --client 192.0.2.7 --for 10m',
    'trace --recipient someone@example.com --json | jq .text',
  );
}

async function follow(context: CliContext, options: TraceOptions): Promise<void> {
  const { key, client = null, recipient = null } = options;
  if (key === undefined && client === null && recipient === null) {
    throw new StoreError('invalid', 'say whose sessions: --key, --client or --recipient');
  }
  const signal = AbortSignal.any([context.takeSignals(), AbortSignal.timeout(options.for)]);
  await withDatabase(context, async pool => {
    const keyId = key === undefined ? null : await keyIdOf(pool, key);
    const trace = { id: randomUUID(), keyId, client, recipient };
    await keepTrace(pool, trace);
    note(context, options, 'Relays follow within 2 seconds. Ctrl-C ends it.');
    let kept = performance.now();
    try {
      while (!signal.aborted) {
        await rest(LOOK, signal);
        for (const line of await takeTraceLines(pool, trace.id)) context.stdout.write(shown(line, options));
        if (performance.now() - kept < SIGN) continue;
        await keepTrace(pool, trace);
        kept = performance.now();
      }
    } finally {
      await endTrace(pool, trace.id);
    }
  });
}

function shown(line: TraceLine, { json }: TraceOptions): string {
  if (json) return `${JSON.stringify(line)}\n`;
  const { at, pod, session, clientAddress, by, text } = line;
  const time = at.toISOString().slice(11, 23);
  return `${time}  ${pod}  ${session}  ${clientAddress}  ${by}  ${printable(text).replaceAll('\n', ' ')}\n`;
}

function parseClient(text: string): string {
  try {
    createNetworkMatcher([text]);
    return text.trim();
  } catch {
    throw new InvalidArgumentError('It must be an IP address or a network such as 10.0.0.0/8.');
  }
}

function parseRecipient(text: string): string {
  const address = parseAddress(text.trim());
  if (address === null) throw new InvalidArgumentError('It must be an address such as someone@example.com.');
  return comparableAddress(address);
}

function parsePeriod(text: string): number {
  const period = parseSpan(text);
  if (!period || period > 86_400_000)
    throw new InvalidArgumentError('It must be a time up to a day, such as 30s or 10m.');
  return period;
}
