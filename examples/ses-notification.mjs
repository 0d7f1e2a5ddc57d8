// Puts a notification on the queue of events, as SES would by way of SNS or EventBridge: what cannot be had on one machine.
//
//   make dev                    in one terminal; in another:
//   . .dev/env
//   node examples/ses-notification.mjs bounce <id> you@example.com
//
// The id is that of the message: it stands behind `queued as` in the relay's reply.
import { randomUUID } from "node:crypto";

const timestamp = new Date().toISOString();
const KINDS = {
  delivery: recipient => ({
    eventType: "Delivery",
    delivery: { timestamp, recipients: [recipient], smtpResponse: "250 2.0.0 Ok" },
  }),
  delay: recipient => ({
    eventType: "DeliveryDelay",
    deliveryDelay: { timestamp, delayType: "MailboxFull", delayedRecipients: [{ emailAddress: recipient }] },
  }),
  bounce: recipient => ({
    eventType: "Bounce",
    bounce: {
      timestamp,
      feedbackId: randomUUID(),
      bounceType: "Permanent",
      bounceSubType: "General",
      bouncedRecipients: [
        { emailAddress: recipient, status: "5.1.1", diagnosticCode: "smtp; 550 5.1.1 user unknown" },
      ],
    },
  }),
  complaint: recipient => ({
    eventType: "Complaint",
    complaint: {
      timestamp,
      feedbackId: randomUUID(),
      complaintFeedbackType: "abuse",
      complainedRecipients: [{ emailAddress: recipient }],
    },
  }),
};

const [kind, id, recipient] = process.argv.slice(2);
const { SMTP_RELAY_EVENTS_QUEUE_URL: queue, AWS_ENDPOINT_URL_SQS: endpoint } = process.env;
if (!Object.hasOwn(KINDS, kind ?? "") || !id || !recipient) {
  console.error(`Usage: node examples/ses-notification.mjs ${Object.keys(KINDS).join("|")} <id> <recipient>`);
  process.exit(2);
}
if (!queue || !endpoint) {
  console.error("Which queue? Say this first, where make dev runs: . .dev/env");
  process.exit(2);
}

const mail = {
  timestamp,
  messageId: `dev-${randomUUID()}`,
  destination: [recipient],
  tags: { "smtp-relay-email-id": [id] }, // by this the worker finds the message
};
// SQS without the AWS SDK; the emulator of `make dev` asks for no signature.
const response = await fetch(endpoint, {
  method: "POST",
  headers: { "content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.SendMessage" },
  body: JSON.stringify({ QueueUrl: queue, MessageBody: JSON.stringify({ ...KINDS[kind](recipient), mail }) }),
});
if (!response.ok) throw new Error(`SQS answered ${response.status}: ${await response.text()}`);
console.log(`${kind} of ${recipient} is on the queue`);
