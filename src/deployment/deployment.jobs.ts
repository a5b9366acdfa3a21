/** Starts a deployment's replicas and waits until they answer. */
export const provisionJob = { queue: 'io', name: 'deployment.provision' } as const;
/** Drains and ends a deployment's replicas. */
export const stopJob = { queue: 'io', name: 'deployment.stop' } as const;
