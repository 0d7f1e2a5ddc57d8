import type { FastifyInstance } from 'fastify';
import { ErrorBody, IdParams, Release, Released, Simulate, Simulated } from '../contract.ts';
import type { Inbox } from '../inbox.ts';
import { detailsOf, readMessage } from '../message/read.ts';
import { release } from '../message/release.ts';
import { simulate } from '../message/simulate.ts';

/** What can be done with a message: have something happen to it, send it to people after all. */
export function addActionRoutes(api: FastifyInstance, inbox: Inbox): void {
  const { live, logger } = inbox;

  api.post<{ Params: IdParams; Body: Simulate; Reply: Simulated }>(
    '/api/messages/:id/events',
    {
      schema: {
        summary: 'Have something happen to a message',
        description:
          'What SES would tell (`delivered`, `bounced`, `complained`, `delayed`), or what a reader does (`opened`, `clicked`). Events, suppressions, the status and webhooks follow as in production.',
        params: IdParams,
        body: Simulate,
        response: { 200: Simulated, 400: ErrorBody, 404: ErrorBody },
      },
    },
    async request => {
      const details = detailsOf(await readMessage(inbox, request.params.id), { bodies: false, canRelease: false });
      const userAgent = request.headers['user-agent'] ?? null;
      return { recipients: [...(await simulate(inbox, details, { ...request.body, userAgent }))] };
    },
  );

  api.post<{ Params: IdParams; Body: Release | undefined; Reply: Released }>(
    '/api/messages/:id/release',
    {
      schema: {
        summary: 'Send it to people after all',
        description: 'By the smarthost of the settings `smtp`, to its recipients or to others.',
        params: IdParams,
        body: Release,
        response: { 200: Released, 400: ErrorBody, 404: ErrorBody, 409: ErrorBody },
      },
      // Nothing to say: to its own recipients.
      preValidation: async request => {
        request.body ??= {};
      },
    },
    async request => {
      const message = await readMessage(inbox, request.params.id);
      const { recipients, response } = await release(message, { config: live.current, to: request.body?.to, logger });
      return { recipients: [...recipients], response };
    },
  );
}
