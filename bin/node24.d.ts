/** Environment that a relay's process is started with; see `node24.js`. */
export const MEMORY_ENVIRONMENT: Readonly<Record<string, string>>;
/** Folder of compiled modules; see `node24.js`. */
export const COMPILE_CACHE: string;
