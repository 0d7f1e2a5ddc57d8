import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { simulationOf } from '../../src/message/addresses/simulator-address.ts';

describe('a simulator address', () => {
  for (const [address, simulation] of [
    ['delivered@resend.dev', 'delivered'],
    ['bounced@resend.dev', 'bounced'],
    ['complained@resend.dev', 'complained'],
    ['suppressed@resend.dev', 'suppressed'],
    ['Bounced+User.1@Resend.DEV', 'bounced'],
    ['delivered+a+b@resend.dev', 'delivered'],
    ['delivered+@resend.dev', 'delivered'],
    ['"bounced"@resend.dev', 'bounced'],
    ['"bounced+a b"@resend.dev', 'bounced'],
    ['success@simulator.amazonses.com', 'delivered'],
    ['ooto@simulator.amazonses.com', 'delivered'],
    ['bounce+7@simulator.amazonses.com', 'bounced'],
    ['COMPLAINT@Simulator.AmazonSES.com', 'complained'],
    ['suppressionlist@simulator.amazonses.com', 'refused'],
  ] as const) {
    it(`${address} is ${simulation}`, () => assert.equal(simulationOf(address), simulation));
  }

  for (const address of [
    'hello@resend.dev',
    'bounce@resend.dev',
    'bounced@simulator.amazonses.com',
    'undelivered@resend.dev',
    'x+delivered@resend.dev',
    'delivered@mail.resend.dev',
    'delivered@resend.dev.example.com',
    'delivered@example.com',
    '__proto__@resend.dev',
    'constructor@resend.dev',
  ]) {
    it(`${address} is none`, () => assert.equal(simulationOf(address), null));
  }
});
