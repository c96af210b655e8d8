export class SetupError extends Error {}
export function installPackages(): void;
export function installChrome(): void;
export function ensureBuild(): Promise<void>;
export function setup(options?: { chrome?: boolean }): Promise<void>;
