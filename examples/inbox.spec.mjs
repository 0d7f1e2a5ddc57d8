// A test of an application's mail with Playwright. While `make dev` runs:
//
//   export API_KEY="$(cat .dev/api-key)" NODE_EXTRA_CA_CERTS=.dev/tls/ca.crt
//   npx playwright test examples/inbox.spec.mjs
//
// In staging, INBOX_URL says where the inbox is, and INBOX_TOKEN its token.
import { expect, test } from "@playwright/test";
import nodemailer from "nodemailer";

const { INBOX_URL = "http://localhost:8025", INBOX_TOKEN, SMTP_PORT = "2587", API_KEY } = process.env;

test.use({ baseURL: INBOX_URL, extraHTTPHeaders: INBOX_TOKEN ? { authorization: `Bearer ${INBOX_TOKEN}` } : {} });

/** In the place of your application. */
async function signUp(address) {
  const auth = { user: "apikey", pass: API_KEY };
  const transport = nodemailer.createTransport({ host: "localhost", port: Number(SMTP_PORT), requireTLS: true, auth });
  await transport.sendMail({
    from: "hello@demo.test",
    to: address,
    subject: "Confirm your address",
    html: '<p>Welcome</p><a href="https://app.example.com/confirm?code=4711">Confirm</a>',
  });
}

test("who signs up gets a link to confirm", async ({ request }) => {
  const address = `ada+${Date.now()}@example.com`; // a new one in each run
  await signUp(address);

  // Answers as soon as the message is there.
  const found = await request.get("/api/messages", { params: { to: address, wait: "30s" } });
  const { messages } = await found.json();
  expect(messages).toHaveLength(1);
  expect(messages[0].subject).toBe("Confirm your address");

  const message = await (await request.get(`/api/messages/${messages[0].id}`)).json();
  expect(message.links).toContain("https://app.example.com/confirm?code=4711");

  // The address does not exist after all: your application hears of it by its webhook.
  const bounce = await request.post(`/api/messages/${messages[0].id}/events`, { data: { type: "bounced" } });
  expect(await bounce.json()).toEqual({ recipients: [address] });
});
