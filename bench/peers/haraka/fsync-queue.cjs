/* A plug-in of Haraka: takes every recipient, and keeps each message in a file of the folder FSYNC_QUEUE, on the disk before the 250. */
const { createWriteStream } = require('node:fs');
const { join } = require('node:path');

exports.hook_rcpt = next => next(OK);

exports.hook_queue = (next, connection) => {
  const { message_stream: message, uuid } = connection.transaction;
  // `flush` is an fsync before the file is closed.
  const file = createWriteStream(join(process.env.FSYNC_QUEUE, uuid), { flags: 'wx', flush: true });
  let reply = [OK];
  file.on('error', error => {
    reply = [DENYSOFT, error.message];
  });
  file.on('close', () => next(...reply));
  message.pipe(file, { line_endings: '\r\n' });
};
