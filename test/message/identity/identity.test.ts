import assert from 'node:assert/strict';
import { env } from 'node:process';
import { before, describe, it } from 'node:test';
import { comparableDomain, domainOf, localPartOf } from '../../../src/message/addresses/address.ts';
import { readSender } from '../../../src/message/addresses/originators.ts';
import { readHeaderFields } from '../../../src/message/header/fields.ts';
import { Refusal } from '../../../src/message/refusal.ts';
import { needs } from '../../support/needs.ts';
import { randomField, seeded } from './random-field.ts';
import { byNodemailer, byPython, type Reading } from './readers.ts';

/** Ours must name nobody but the one whom every other reader shows. More of them: SMTP_RELAY_TEST_HEADERS=1000000. */
const { SMTP_RELAY_TEST_HEADERS: HEADERS = '50000' } = env;
const SEEDS = [1, 13, 25];

const ADDRESS_OF = {
  From: (body: string) => senderOf(`From: ${body}`).from.address,
  Sender: (body: string) => senderOf(`From: a@acme.test\r\nSender: ${body}`).sender?.address ?? null,
};

function senderOf(header: string) {
  return readSender(readHeaderFields(Buffer.from(`${header}\r\n\r\n`), 1_000_000));
}

function taken(body: string, read: (body: string) => string | null): string | null {
  try {
    return read(body);
  } catch (error) {
    // A broken line is the header's fault, and no less a refusal.
    assert.ok(error instanceof Refusal, `${JSON.stringify(body)}: ${error}`);
    return null;
  }
}

/** Quoted or not, whichever the reader prefers; domains as A-labels. */
function comparable(address: string): string {
  const localPart = localPartOf(address);
  const isQuoted = localPart.startsWith('"') && localPart.endsWith('"');
  return `${isQuoted ? localPart.slice(1, -1).replaceAll(/\\(.)/g, '$1') : localPart}@${comparableDomain(domainOf(address))}`;
}

for (const [name, read] of Object.entries(ADDRESS_OF)) {
  describe(`${name}, read beside other readers`, { skip: needs('python3') }, () => {
    const accepted = new Map<string, string>();
    let readings: readonly (readonly Reading[])[] = [];

    before(async () => {
      for (const seed of SEEDS) {
        const random = seeded(seed);
        for (let count = Number(HEADERS) / SEEDS.length / 2; count > 0; count -= 1) {
          const body = randomField(random);
          const address = accepted.has(body) ? null : taken(body, read);
          if (address !== null) accepted.set(body, address);
        }
      }
      const bodies = [...accepted.keys()];
      const python = await byPython(bodies);
      readings = bodies.map((body, index) => [byNodemailer(body), ...(python[index] ?? [])]);
    });

    it('takes enough of what is made up for this to mean something', () => {
      assert.ok(accepted.size > Number(HEADERS) / 60, `${accepted.size} of ${HEADERS}`);
      assert.ok([...accepted.keys()].some(body => /[("=]/.test(body)));
      const silent = readings.flat().filter(({ addresses }) => addresses.length === 0);
      assert.ok(silent.length < accepted.size / 20, `${silent.length} readings name nobody`);
    });

    it('names nobody whom another reader does not show', () => {
      const differing = [...accepted].flatMap(([body, address], index) =>
        (readings[index] ?? [])
          .filter(({ addresses }) => addresses.some(other => comparable(other) !== comparable(address)))
          .map(({ reader, addresses }) => ({ body, address, reader, addresses })),
      );
      assert.deepEqual(differing.slice(0, 10), []);
    });
  });
}
