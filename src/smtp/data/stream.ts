import type { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { Abandoned } from '../../flow/cancellation.ts';
import type { Refusal } from '../../message/refusal.ts';
import { type CommandLine, CommandLines } from '../protocol/command-lines.ts';
import type { IncomingMessage } from './incoming-message.ts';
import { type DataPace, ReadingTime, tooSlowRefusal, watchPace } from './watch.ts';

/** A client that has said goodbye waits for nothing but the replies, and may have closed its side. */
const QUIT = /(?:^|\n)quit[ \t]*\r?\n/i;
/** How much of what came before may belong to it. */
const QUIT_BEGUN = 16;

/** Where the library keeps the stream of a message: what it asks of one that carries no bytes. */
type DataSignal = Exclude<SMTPConnection['_dataStream'], false | null>;

export interface Receiving {
  readonly pace: DataPace;
  /** Is given what the library destroys when the connection is lost. */
  readonly onStart: (signal: DataSignal) => void;
  /** Is told once, at most, when the message does not keep the pace. */
  readonly onTooSlow: (refusal: Refusal) => void;
  /** Is told when the client has sent QUIT behind the message before its reply. What it answers is called once all is answered. */
  readonly onQuit: () => () => void;
}

/** Commands that are run in one turn of the event loop, however many came at once. */
const COMMANDS_A_TURN = 100;
/** Bytes behind a message that are kept until its reply. Beyond them nothing is read, and no client is seen to go. */
const MOST_BEHIND = 64 * 1024;
/** Bytes a second that are read of a message which is refused at its end. */
const REFUSED_RATE = 4 * 1024 * 1024;
/** The first byte of a TLS handshake (RFC 8446 section 5.1), which no command begins with. */
const TLS_HANDSHAKE = 0x16;

type Done = (error?: Error | null) => void;

/** What the stream tells of. */
export interface StreamHandlers {
  /** Takes a command; calls back when the next may follow. */
  readonly onCommand: (command: Buffer, done: () => void) => void;
  /** The same for one that ended in LF without CR. */
  readonly onBareLine: (command: Buffer, done: () => void) => void;
  /** The client speaks TLS, and has not asked for it. */
  readonly onTls: () => void;
}

/**
 * The library's command parser with another way through DATA: the bytes go to an `IncomingMessage` and not through a
 * stream, which costs more than all else on a small message. And with another way to commands: the library takes a bare LF
 * for their end, and keeps them as strings.
 */
export class DataStream extends SMTPStream {
  /** When the last whole command or piece of a message came, as `performance.now()` tells it. */
  heardAt = performance.now();
  readonly #handlers: StreamHandlers;
  readonly #longestUnended: number;
  readonly #lines = new CommandLines();
  #hasBegun = false;
  #message: IncomingMessage | null = null;
  #arrived: () => void = () => {};
  /** Of the message. */
  #time: ReadingTime | null = null;
  #onQuit: Receiving['onQuit'] = () => () => {};
  /** A message waits for its reply. */
  #isHeld = false;
  /** What came behind it since. */
  #behind: Buffer[] = [];
  #behindBytes = 0;
  #lastBehind = '';
  /** Calls to end what is left of a client that has said goodbye. */
  #answered: (() => void) | null = null;
  /** Goes on reading where that was too much. */
  #goOn: Done | null = null;
  /** What was behind the last message is being run; what comes meanwhile waits here. */
  #isCatchingUp = false;
  #next: (() => void) | null = null;

  /** @param longestUnended bytes of a line whose end has not come; more are an `error` */
  constructor(longestUnended: number, handlers: StreamHandlers) {
    super();
    this.#longestUnended = longestUnended;
    this.#handlers = handlers;
  }

  /** Whether the client is not read because its key has enough to wait for. */
  get isPaused(): boolean {
    return this.#time?.isPaused ?? false;
  }

  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    if (this.isClosed) {
      done();
    } else if (this.#isHeld) {
      this.#hold(chunk, done);
    } else if (this.#isCatchingUp) {
      this.#next = () => this._write(chunk, 'buffer', done);
    } else {
      this.#take(chunk, done);
    }
  }

  #take(chunk: Buffer, done: Done): void {
    if (!this.#hasBegun && chunk[0] === TLS_HANDSHAKE) {
      this.#handlers.onTls();
      done();
    } else if (this._dataMode) {
      this._feedDataStream(chunk, done);
    } else {
      this.#hasBegun = true;
      this.#lines.push(chunk);
      this.#runCommands(done);
    }
  }

  /** Runs what has arrived, command by command. One that needs time goes on from its callback. */
  #runCommands(done: Done): void {
    let left = COMMANDS_A_TURN;
    let isRunning = false;
    let again = false;
    const run = (): void => {
      // A command that is answered at once calls back while it runs: a loop does not grow the stack.
      again = true;
      if (isRunning) return;
      isRunning = true;
      while (again) {
        again = false;
        const line = this.#nextLine(done);
        if (line === null) return;
        this.heardAt = performance.now();
        left -= 1;
        const next = left > 0 ? run : pause;
        if (line.isBare) this.#handlers.onBareLine(line.bytes, next);
        else this.#handlers.onCommand(line.bytes, next);
      }
      isRunning = false;
    };
    const pause = (): void => {
      left = COMMANDS_A_TURN;
      setImmediate(run);
    };
    run();
  }

  /** The next command; null where there is none as yet, which ends what `done` waits for. */
  #nextLine(done: Done): CommandLine | null {
    if (this.isClosed) {
      done();
      return null;
    }
    if (this._dataMode) {
      const rest = this.#lines.takeRest();
      if (rest.length === 0) done();
      else this._feedDataStream(rest, done);
      return null;
    }
    const line = this.#lines.next();
    if (line === null && this.#lines.length > this.#longestUnended) {
      this.#lines.takeRest();
      done(new Error('a command line is too long'));
      return null;
    }
    if (line === null) done();
    return line;
  }

  /**
   * Takes what follows as a message's text, up to its end.
   *
   * @returns resolves when the message has arrived in full; rejects with `Abandoned`
   */
  async receive(message: IncomingMessage, { pace, onStart, onTooSlow, onQuit }: Receiving): Promise<void> {
    this.#message = message;
    this.#onQuit = onQuit;
    this._dataMode = true;
    const time = new ReadingTime();
    this.#time = time;
    const { promise: arrived, resolve, reject } = Promise.withResolvers<void>();
    this.#arrived = resolve;
    const signal = { destroy: () => reject(new Abandoned()), listenerCount: () => 0, writableEnded: false };
    onStart(signal as unknown as DataSignal);
    const endWatch = watchPace(
      pace,
      () => message.size,
      why => this.#message && onTooSlow(tooSlowRefusal(why)),
      () => time.now(),
    );
    await arrived.finally(endWatch);
  }

  override _feedDataStream(chunk: Buffer, done: Done): void {
    this.heardAt = performance.now();
    const end = this.#message?.push(chunk) ?? -1;
    if (end === -1) {
      this.#readOn(chunk.length, done);
    } else {
      this.#message = null;
      this._dataMode = false;
      this.#hold(chunk.subarray(end), done);
      this.#arrived();
    }
  }

  /**
   * Reads on, the next time that the event loop comes by: left to itself it reads two megabytes of a client that sends quickly
   * before it looks at the next one. What is thrown away has time.
   */
  #readOn(bytes: number, done: Done): void {
    const wanted = this.#message?.untilWanted();
    if (this.#message?.isRefused) setTimeout(done, (1000 * bytes) / REFUSED_RATE);
    else if (wanted) void this.#pause(wanted, done);
    else setImmediate(done);
  }

  /** Leaves what follows with the client for a while: messages of its key that have arrived have to be stored first. */
  async #pause(wanted: Promise<void>, done: Done): Promise<void> {
    await this.#time?.pause(wanted);
    this.heardAt = performance.now();
    done();
  }

  /**
   * What was sent behind the message waits until it has its reply: `continue()`. Reading goes on meanwhile: only so does it
   * show that the client goes.
   */
  #hold(behind: Buffer, done: Done): void {
    this.#isHeld = true;
    this.#behind.push(behind);
    this.#behindBytes += behind.length;
    const text = this.#lastBehind + behind.toString('latin1');
    if (QUIT.test(text)) this.#answered ??= this.#onQuit();
    this.#lastBehind = text.slice(-QUIT_BEGUN);
    this._continueCallback = () => this.#catchUp();
    if (this.#behindBytes < MOST_BEHIND) done();
    else this.#goOn = done;
  }

  #catchUp(): void {
    const [behind, goOn, answered] = [Buffer.concat(this.#behind), this.#goOn, this.#answered];
    this.#isHeld = false;
    this.#behind = [];
    this.#behindBytes = 0;
    this.#lastBehind = '';
    this.#goOn = null;
    this.#answered = null;
    if (behind.length === 0) return;
    this.#isCatchingUp = true;
    this.#take(behind, error => {
      const next = this.#next;
      this.#isCatchingUp = false;
      this.#next = null;
      if (goOn) goOn(error);
      else if (error) this.destroy(error);
      answered?.();
      next?.();
    });
  }
}
