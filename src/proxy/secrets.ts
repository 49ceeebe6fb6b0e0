import type { ClusterOptions, SharedStoreOptions } from '../session/shared.ts'
import { isSecretHeader, isSecretName } from '../tape/secret-names.ts'
import type { TargetOptions } from './target.ts'

/** Everything the options hold that must not be seen on tapes or in logs, wherever it turns up. */
export function secretsOf(
  options: { readonly tokens?: readonly string[]; readonly target: TargetOptions } & Sharing
): string[] {
  const { tokens = [], target } = options
  return [...tokens, ...ofTarget(target), ...sharedSecrets(options)]
}

interface Sharing {
  readonly sharedStore?: SharedStoreOptions
  readonly cluster?: ClusterOptions
}

/** Of the store that processes share, and of the way between them. Keys as they may have been written. */
export function sharedSecrets({ sharedStore, cluster }: Sharing): string[] {
  const { url = '', keys = [] } = sharedStore ?? {}
  const written = keys.flatMap(key => [
    key.toString('hex'),
    key.toString('hex').toUpperCase(),
    key.toString('base64'),
    key.toString('base64url')
  ])
  return [...ofStore(url), ...written, ...(cluster?.keys ?? [])]
}

/** The name of a user is no secret of such a store, and may be a word that stands everywhere. */
function ofStore(url: string): string[] {
  const password = /^[a-z+]+:\/\/[^:]*:(.*)@/is.exec(url)?.[1] ?? ''
  return password === '' ? [] : [password, decoded(password)]
}

function ofTarget(target: TargetOptions): string[] {
  if ('url' in target) return ofUrl(target.url, target.headers ?? [])
  if (!('tape' in target)) return ofEnvironment(target.env ?? {})
  const { onMiss } = target
  return typeof onMiss === 'object' ? ofUrl(onMiss.url, onMiss.headers ?? []) : []
}

function ofUrl(text: string, headers: readonly string[]): string[] {
  const secrets: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if (isSecretHeader(headers[i]!.toLowerCase()) || looksSecret(headers[i + 1]!)) secrets.push(headers[i + 1]!)
  }
  if (!URL.canParse(text)) return secrets
  const url = new URL(text)
  for (const part of [url.username, url.password]) if (part !== '') secrets.push(part, decoded(part))
  return secrets
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** What is given to the command, and what it inherits under a name that speaks of secrets: servers print both when they fail. */
function ofEnvironment(given: Readonly<Record<string, string>>): string[] {
  const secrets = Object.entries(given).filter(([name, value]) => isSecretName(name) || looksSecret(value))
  const inherited = Object.entries(process.env).filter(
    ([name, value]) => isSecretName(name) && looksSecret(value ?? '')
  )
  return [...secrets, ...inherited].map(([, value]) => value ?? '')
}

/** Words, numbers and paths (`production`, `8080`, `/usr/bin`) stand everywhere; blanking them out would hide the traffic. */
export function looksSecret(value: string): boolean {
  return (
    value.length >= 8 &&
    !/^[A-Za-z]+$/.test(value) &&
    !/^[\d.,:]+$/.test(value) &&
    !/^(?:[A-Za-z]:)?[./\\~]/.test(value)
  )
}
