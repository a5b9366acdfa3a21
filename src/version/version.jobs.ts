/** Reads an uploaded version without trust, finds its signature, derives what is served. */
export const ingestJob = { queue: 'io', name: 'version.ingest' } as const;
