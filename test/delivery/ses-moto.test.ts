import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CreateEmailIdentityCommand, GetEmailIdentityCommand, SESv2Client } from '@aws-sdk/client-sesv2';
import { startMoto } from '../support/moto.ts';
import { needs } from '../support/needs.ts';
import { CREDENTIALS } from '../support/ses/sigv4.ts';
import { openSesTransport, outgoing } from '../support/ses/transport.ts';

const REGION = 'eu-west-1';
/** What moto holds: its messages are kept under the name of the older API. */
interface MotoData {
  readonly ses: { readonly RawMessage: readonly { readonly id: string; readonly raw_data: string }[] };
}

/** moto is an implementation of SES's API by others than those who wrote the fake one here. */
describe('the transport ses with moto', { skip: needs('moto') }, () => {
  it('sends what an identity may send', async t => {
    const endpoint = await startMoto(t);
    const client = new SESv2Client({ endpoint, region: REGION, credentials: CREDENTIALS });
    t.after(() => client.destroy());
    const transport = openSesTransport(t, endpoint, { region: REGION });
    const { signal } = new AbortController();

    const [refused] = await transport.send(outgoing(), signal);
    assert.equal(refused?.outcome.kind === 'sent' ? null : refused?.outcome.code, 'MessageRejected');
    assert.equal(refused?.outcome.kind, 'permanent');

    await client.send(new CreateEmailIdentityCommand({ EmailIdentity: 'acme.test' }));
    const identity = await client.send(new GetEmailIdentityCommand({ EmailIdentity: 'acme.test' }));
    assert.equal(identity.IdentityType, 'DOMAIN');

    const message = outgoing({ tags: [{ name: 'campaign', value: 'may' }] });
    const [sent] = await transport.send(message, signal);
    assert.ok(sent?.outcome.kind === 'sent', JSON.stringify(sent));
    const data = (await (await fetch(`${endpoint}/moto-api/data.json`)).json()) as MotoData;
    assert.deepEqual(
      data.ses.RawMessage.map(({ id, raw_data: raw }) => ({ id, raw })),
      [{ id: sent.outcome.providerMessageId, raw: message.raw.toString() }],
    );
  });
});
