import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import { StoreError } from '../../postgres/errors.ts';
import type { RehearsedMessage } from '../../smtp/rehearsal.ts';
import { adviceOn } from '../../smtp/session/advice.ts';
import { type ApiKeyListing, listKeys } from '../../store/keys/api-keys.ts';
import { listSandboxed } from '../../store/keys/chaos.ts';
import { ErrorBody, IdParams, ONLY_THESE } from '../contract.ts';
import type { Inbox } from '../inbox.ts';
import { Key, type KeyVerdict, Verdicts } from '../keys-contract.ts';
import { type ReadMessage, readMessage } from '../message/read.ts';

const KeysQuery = Type.Object(
  { key: Type.Optional(Type.String({ description: 'The id or name of one; all unless given', maxLength: 200 })) },
  ONLY_THESE,
);
type KeysQuery = Static<typeof KeysQuery>;

/** Keys that are tried in one request, and milliseconds after which no more are. */
const MOST_KEYS = 100;
const LONGEST = 15_000;

/**
 * The keys of the installation, and what becomes of a message that is sent with one of them. Where mail goes to people, who tests
 * learns nothing of other owners: neither what their keys are called, nor whom they may not send to.
 */
export function addKeyRoutes(api: FastifyInstance, inbox: Inbox): void {
  const { pool, rehearsal, onlyCaptured } = inbox;

  api.get<{ Reply: Key[] }>(
    '/api/keys',
    {
      schema: {
        summary: 'List API keys',
        description: 'Where mail goes to people, only those of owners who have a key in sandbox.',
        response: { 200: Type.Array(Key) },
      },
    },
    async () => (await keysOfTesters()).map(shown),
  );

  api.get<{ Params: IdParams; Querystring: KeysQuery; Reply: Verdicts }>(
    '/api/messages/:id/keys',
    {
      schema: {
        summary: 'Whether a message would be accepted with another API key',
        description:
          'What the relay would answer to it now, under the settings of this worker. Nothing is stored, counted or sent. Where mail goes to people, only keys of the owner of the message are tried.',
        params: IdParams,
        querystring: KeysQuery,
        response: { 200: Verdicts, 404: ErrorBody, 409: ErrorBody },
      },
    },
    async (request, reply) => {
      const read = await readMessage(inbox, request.params.id);
      const message = rehearsedFrom(read);
      const { key: wanted } = request.query;
      const all = await keysBeside(read.story.owner);
      const keys = wanted === undefined ? all : all.filter(({ id, name }) => id === wanted || name === wanted);
      if (wanted !== undefined && keys.length === 0)
        throw new StoreError('not-found', 'no key has this id or name', 'keys');
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort(new Error('nobody waits for it any more')));
      const verdicts: KeyVerdict[] = [];
      const until = performance.now() + LONGEST;
      for (const key of keys.slice(0, MOST_KEYS)) {
        if (performance.now() > until) break;
        verdicts.push(await verdictOn(key, message, gone.signal));
      }
      return { verdicts, left: keys.length - verdicts.length };
    },
  );

  async function keysOfTesters(): Promise<ApiKeyListing[]> {
    const keys = await listKeys(pool);
    if (!onlyCaptured()) return keys;
    const testers = new Set((await listSandboxed(pool)).map(({ owner }) => owner));
    return keys.filter(({ owner }) => testers.has(owner));
  }

  /** Keys that a message of an owner may be tried with. */
  async function keysBeside(messageOwner: string | null): Promise<ApiKeyListing[]> {
    const keys = await listKeys(pool);
    return onlyCaptured() ? keys.filter(({ owner }) => owner === messageOwner) : keys;
  }

  async function verdictOn(key: ApiKeyListing, message: RehearsedMessage, signal: AbortSignal): Promise<KeyVerdict> {
    const { isAccepted, refusals } = await rehearsal.try(key.id, message, signal);
    const told = refusals.map(refusal => ({ ...refusal, ...adviceOn(refusal.rule) }));
    return { key: shown(key), accepted: isAccepted, refusals: told };
  }
}

function shown({ id, name, owner, domain, sandbox, blocked }: ApiKeyListing): Key {
  return { id, name, owner, domain, sandbox, blocked };
}

function rehearsedFrom({ story, raw }: ReadMessage): RehearsedMessage {
  if (raw === null || story.raw === null)
    throw new StoreError('conflict', 'it is not kept as it was received any more (retention.raw)');
  const { reversePath, recipients, bodyType, smtpUtf8, clientAddress } = story.raw;
  return {
    envelope: {
      reversePath,
      recipients: Array.isArray(recipients) ? recipients.map(String) : [],
      bodyType: bodyType ?? '7bit',
      smtpUtf8,
    },
    clientAddress: clientAddress ?? '',
    raw,
  };
}
