import assert from 'node:assert/strict';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readTlsPair } from '../../src/smtp/tls/certificate.ts';
import { makeCertificate } from '../support/tls.ts';

describe('readTlsPair', () => {
  it('reads certificate, key and until when it is valid', async t => {
    const files = await makeCertificate(t);
    const pair = await readTlsPair(files);
    assert.deepEqual([pair.cert, pair.key], [files.cert, files.key]);
    assert.ok(pair.notAfter > new Date());
  });

  it('refuses a key that does not belong to the certificate, naming both files', async t => {
    const [first, second] = [await makeCertificate(t), await makeCertificate(t)];
    await assert.rejects(readTlsPair({ certPath: first.certPath, keyPath: second.keyPath }), (error: Error) => {
      assert.ok(error.message.includes(first.certPath) && error.message.includes(second.keyPath));
      assert.ok(!error.message.includes('PRIVATE KEY'));
      return true;
    });
  });

  it('refuses what cannot be read', async t => {
    const { certPath, keyPath, directory } = await makeCertificate(t);
    await assert.rejects(readTlsPair({ certPath: join(directory, 'none'), keyPath }), { code: 'ENOENT' });
    await writeFile(certPath, 'nonsense');
    await assert.rejects(readTlsPair({ certPath, keyPath }));
  });

  it('reads both from one generation of a mounted Secret, though the links in front of it change', async t => {
    const [old, renewed] = [await makeCertificate(t), await makeCertificate(t)];
    const { directory } = old;
    const mount = join(directory, 'mount');
    for (const [name, { cert, key }] of Object.entries({ '..old': old, '..renewed': renewed })) {
      await mkdir(join(mount, name), { recursive: true });
      await writeFile(join(mount, name, 'tls.crt'), cert);
      await writeFile(join(mount, name, 'tls.key'), key);
    }
    await symlink('..old', join(mount, '..data'));
    await symlink('..data/tls.crt', join(mount, 'tls.crt'));
    await symlink('..data/tls.key', join(mount, 'tls.key'));
    const paths = { certPath: join(mount, 'tls.crt'), keyPath: join(mount, 'tls.key') };
    for (let round = 0; round < 50; round += 1) {
      const reading = readTlsPair(paths);
      await symlink(round % 2 ? '..old' : '..renewed', join(mount, '..tmp'));
      await rename(join(mount, '..tmp'), join(mount, '..data'));
      // Rejected, were one file old and the other new.
      await reading;
    }
  });
});
