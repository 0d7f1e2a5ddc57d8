import type { FastifyInstance } from 'fastify';
import Type from 'typebox';
import { listSandboxed, type SandboxedKey, setChaos } from '../../store/keys/chaos.ts';
import { describeChaos } from '../../store/keys/chaos-settings.ts';
import { ErrorBody, IdParams } from '../contract.ts';
import type { Inbox } from '../inbox.ts';
import { SandboxKey, SetChaos } from '../keys-contract.ts';

/** What goes wrong on purpose, for keys in sandbox: the same as `smtp-relay keys chaos`. */
export function addChaosRoutes(api: FastifyInstance, { pool, logger }: Inbox): void {
  const answers = { 200: SandboxKey, 400: ErrorBody, 404: ErrorBody, 409: ErrorBody };

  api.get<{ Reply: SandboxKey[] }>(
    '/api/chaos',
    {
      schema: {
        summary: 'List keys in sandbox, and what goes wrong for them',
        response: { 200: Type.Array(SandboxKey) },
      },
    },
    async () => (await listSandboxed(pool)).map(shown),
  );

  api.put<{ Params: IdParams; Body: SetChaos; Reply: SandboxKey }>(
    '/api/chaos/:id',
    {
      schema: {
        summary: 'Have things go wrong for a key in sandbox',
        description:
          'In place of what was set before, as a whole; noticed within 10 seconds. 409 for a key that is not in sandbox, or declared.',
        params: IdParams,
        body: SetChaos,
        response: answers,
      },
    },
    async ({ params: { id }, body: { chaos, seconds } }) => {
      const key = await setChaos(pool, id, chaos, seconds === undefined ? null : seconds * 1_000);
      logger.info({ key: id, chaos, until: key.chaosUntil }, 'chaos set in the inbox');
      return shown({ ...key, declaredBy: null });
    },
  );

  api.delete<{ Params: IdParams; Reply: SandboxKey }>(
    '/api/chaos/:id',
    { schema: { summary: 'Let nothing go wrong any more', params: IdParams, response: answers } },
    async ({ params: { id } }) => {
      const key = await setChaos(pool, id, null, null);
      logger.info({ key: id }, 'chaos ended in the inbox');
      return shown({ ...key, declaredBy: null });
    },
  );
}

function shown({ id, name, owner, declaredBy, chaos, chaosUntil }: SandboxedKey): SandboxKey {
  const { replies, ...others } = chaos ?? {};
  return {
    ...{ id, name, owner, declaredBy },
    chaos: chaos && { ...others, ...(replies && { replies: [...replies] }) },
    says: chaos ? describeChaos(chaos) : [],
    until: chaosUntil?.toISOString() ?? null,
  };
}
