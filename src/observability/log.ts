import { createRequire } from 'node:module';
import {
  type DestinationStream,
  type Logger,
  type LoggerOptions,
  pino,
  type SerializedError,
  stdSerializers,
} from 'pino';

export type { Logger };

export interface LogOptions {
  /** A level, or a function that is asked for it at each entry, for this logger and all its children. */
  readonly level: string | (() => string);
  /** `json`: one JSON object a line, for collectors. `pretty`: for people. */
  readonly format: 'json' | 'pretty';
  /** Where lines go; standard output unless given. */
  readonly destination?: DestinationStream;
}

/**
 * The program's root logger. Each part takes a child of it that carries what identifies its work
 * (`room`, `session`, `emailId`). Message content and whole API keys are never logged.
 */
export function createLogger(options: LogOptions): Logger {
  const base = {
    ...levelOptions(options.level),
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: withoutData },
  };
  if (options.format === 'pretty') {
    // Only terminals need it, so only they pay for loading it.
    const pretty: typeof import('pino-pretty') = createRequire(import.meta.url)('pino-pretty');
    const destination = options.destination;
    // Not where NO_COLOR asks for none.
    const colorize = process.stdout.isTTY && process.stdout.hasColors();
    return pino(base, pretty({ colorize, ...(destination ? { destination } : {}) }));
  }
  return pino(base, options.destination ?? standardOutput());
}

/** Characters of lines that are written at once, and milliseconds after which fewer are. */
const GATHERED = 4 * 1024;
const LATEST = 10;
/** Characters that wait where nobody takes them; what is more is lost. */
const MOST_WAITING = 16 * 1024 * 1024;

/** Of all loggers of the process, since it listens to the process' end. */
let shared: DestinationStream | undefined;

function standardOutput(): DestinationStream {
  shared ??= gatherLines();
  return shared;
}

/**
 * Lines that come together share a write, beside the path of messages. The last are written before the process ends. Mail does not end
 * with the log: lines that cannot be written, as to a full disk, wait until they can.
 */
function gatherLines(): DestinationStream {
  const output = pino.destination({ sync: false, maxLength: MOST_WAITING });
  let isBroken = false;
  output.on('error', () => {
    isBroken = true;
  });
  output.on('write', () => {
    isBroken = false;
  });
  let lines = '';
  let timer: NodeJS.Timeout | undefined;
  const writeOut = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (lines !== '') output.write(lines);
    lines = '';
  };
  // Before pino's own listeners, which write what it was given until then, and would try for ever where that fails.
  process.prependListener('beforeExit', writeOut);
  process.prependListener('exit', () => {
    if (isBroken) output.destroy();
    else writeOut();
  });
  return {
    write(line) {
      lines += line;
      if (lines.length >= GATHERED) writeOut();
      else timer ??= setTimeout(writeOut, LATEST).unref();
    },
  };
}

/** A child keeps the level that its parent had. So where the level may change, every entry gets as far as this question. */
function levelOptions(level: LogOptions['level']): Pick<LoggerOptions, 'level' | 'hooks'> {
  if (typeof level === 'string') return { level };
  const least = () => pino.levels.values[level()] ?? Number.POSITIVE_INFINITY;
  return {
    level: 'trace',
    hooks: {
      logMethod(args, method, severity) {
        if (severity >= least()) method.apply(this, args);
      },
    },
  };
}

/** Where Postgres quotes the data that it could not take (protocol, error fields D, W and q). */
const DATA_FIELDS = ['detail', 'where', 'internalQuery'];

/** An error as the log shows it, without any content of a message. */
function withoutData(error: Error): SerializedError {
  const shown = stdSerializers.err(error);
  for (const field of DATA_FIELDS) delete shown[field];
  return shown;
}
