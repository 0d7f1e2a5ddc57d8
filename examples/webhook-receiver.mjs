// Receives webhooks on http://127.0.0.1:3000/ and shows those that are signed with the secret:
//
//   node examples/webhook-receiver.mjs whsec_...
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const [secret, port = "3000"] = process.argv.slice(2);
if (!secret) {
  console.error("Usage: node examples/webhook-receiver.mjs <secret> [port]");
  process.exit(2);
}
const webhook = new Webhook(secret);

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    // Over the bytes as they came, before anything reads them as JSON.
    const event = webhook.verify(Buffer.concat(chunks), request.headers);
    response.writeHead(204).end(); // at once; work comes afterwards
    console.log(event.type, event.data);
  } catch (error) {
    response.writeHead(400).end();
    console.error(`refused: ${error.message}`);
  }
});
server.listen(Number(port), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${port}/`));
