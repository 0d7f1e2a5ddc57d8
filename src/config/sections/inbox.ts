import { accessToken } from '../formats/access.ts';
import { boolean, listenAddress, optional, port } from '../formats/format.ts';
import { deliverySetting } from '../setting.ts';

/** The page of the messages that were captured. */
export const inbox = {
  inbox: {
    enabled: deliverySetting({
      doc: 'Whether the worker shows what was captured: a page and an HTTP API for staging and tests, see [testing your application](testing-your-app.md). Where `transport` and all `routes` are `capture`, it shows every message of every owner; else only those that go to nobody: of keys in [sandbox](sandbox.md), and captured ones.',
      format: boolean,
      default: false,
    }),
    host: deliverySetting({
      doc: 'The address that it listens on. Any other than one of this machine itself needs `inbox.token`.',
      format: listenAddress,
      default: '127.0.0.1',
    }),
    port: deliverySetting({
      doc: 'Its port.',
      format: port,
      default: 8025,
    }),
    token: deliverySetting({
      doc: 'What people log in with on the page, and programs say as `Authorization: Bearer …`. Make one with `openssl rand -hex 24`. Empty: nobody is asked, and only browsers and programs on this machine get in.',
      format: optional(accessToken),
      default: '',
      sensitive: true,
    }),
  },
};
