import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import addressparser from 'nodemailer/lib/addressparser';

/** What one reader sees in a field body. */
export interface Reading {
  readonly reader: string;
  readonly addresses: readonly string[];
}

const PYTHON = fileURLToPath(new URL('./readers.py', import.meta.url));
const PYTHON_READERS = ['email.utils.getaddresses', 'email.headerregistry'];

/** As Nodemailer reads it, and mailparser, which uses the same. */
export function byNodemailer(body: string): Reading {
  const addresses = addressparser(body, { flatten: true }).map(({ address }) => address ?? '');
  return { reader: 'nodemailer', addresses: addresses.filter(address => address.includes('@')) };
}

/** As Python's library reads them, by both of its parsers. */
export async function byPython(bodies: readonly string[]): Promise<readonly (readonly Reading[])[]> {
  const python = spawn('python3', [PYTHON], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(python, 'exit');
  python.stdin.end(bodies.map(body => `${Buffer.from(body).toString('base64')}\n`).join(''));
  const readings: Reading[][] = [];
  for await (const line of createInterface({ input: python.stdout })) {
    const lists = JSON.parse(line) as string[][];
    readings.push(lists.map((addresses, index) => ({ reader: PYTHON_READERS[index] as string, addresses })));
  }
  await ended;
  return readings;
}
