import { mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

/**
 * A ConfigMap or Secret as the kubelet mounts it: the files are links through `..data`, which is a link to a folder named by
 * the time. One rename of that link replaces all of them at once.
 */
export class MountedFolder {
  readonly path: string;
  #generation = 0;

  private constructor(path: string) {
    this.path = path;
  }

  /** Removed at the end of the test. */
  static async create(t: TestContext, files: Readonly<Record<string, string>>): Promise<MountedFolder> {
    const path = await mkdtemp(join(tmpdir(), 'smtp-relay-mounted-'));
    t.after(() => rm(path, { recursive: true, force: true }));
    const folder = new MountedFolder(path);
    await folder.replace(files);
    return folder;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** As an update of the ConfigMap or Secret does: these files, and no others. */
  async replace(files: Readonly<Record<string, string>>): Promise<void> {
    this.#generation += 1;
    const name = `..2026_11_23_10_00_00.${String(this.#generation).padStart(9, '0')}`;
    await mkdir(this.file(name));
    for (const [file, content] of Object.entries(files)) await writeFile(join(this.path, name, file), content);
    await symlink(name, this.file('..data_tmp'));
    await rename(this.file('..data_tmp'), this.file('..data'));
    const there = await readdir(this.path);
    for (const file of Object.keys(files)) {
      if (!there.includes(file)) await symlink(join('..data', file), this.file(file));
    }
    const gone = there.filter(file => !file.startsWith('..') && !(file in files));
    const old = there.filter(file => file.startsWith('..2026') && file !== name);
    for (const file of [...gone, ...old]) await rm(this.file(file), { recursive: true, force: true });
  }
}
