export interface ClusterKey {
  readonly identity: string
  readonly psk: Buffer
}
export declare function clusterKeys(texts: readonly string[]): readonly ClusterKey[]
