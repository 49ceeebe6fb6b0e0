/**
 * Keys, methods, kinds and revisions of all revisions of the protocol and of JSON Schema, of six characters and more. What an
 * option supplies may be such a word (`MODE=content`); a message without its keys would be none, and what everybody says is no secret.
 */
export const PROTOCOL_WORDS: ReadonlySet<string> = new Set(
  `
  $schema 2024-11-05 2025-03-26 2025-06-18 2025-11-25 2026-07-28 accept action additionalProperties allServers
  annotations application/json argument arguments assistant audience boolean cacheScope cancel cancelled capabilities
  clientInfo completed completion completion/complete completions content contents context costPriority create
  createMessage createdAt critical cursor date-time decline default definitions description destructiveHint
  elicitation elicitation/create elicitationId elicitations emergency enumNames examples exclusiveMaximum
  exclusiveMinimum execution experimental extensions failed forbidden format hasMore idempotentHint includeContext
  initialize inputRequests inputResponses inputSchema input_required instructions integer intelligencePriority
  io.modelcontextprotocol/clientCapabilities io.modelcontextprotocol/clientInfo io.modelcontextprotocol/logLevel
  io.modelcontextprotocol/protocolVersion io.modelcontextprotocol/serverInfo io.modelcontextprotocol/subscriptionId
  isError jsonrpc lastModified lastUpdatedAt listChanged logger logging logging/setLevel maxItems maxLength
  maxProperties maxTokens maximum message messages metadata method mimeType minItems minLength minProperties minimum
  modelPreferences nextCursor notice notifications notifications/cancelled notifications/elicitation/complete
  notifications/initialized notifications/message notifications/progress notifications/prompts/list_changed
  notifications/resources/list_changed notifications/resources/updated notifications/roots/list_changed
  notifications/subscriptions/acknowledged notifications/tasks/status notifications/tools/list_changed nullable number
  object openWorldHint optional outputSchema params pattern patternProperties pollInterval prefixItems priority
  private progress progressToken prompts prompts/get prompts/list promptsListChanged properties propertyNames
  protocolVersion public readOnlyHint reason ref/prompt ref/resource requestId requestState requested requestedSchema
  requests required requiredCapabilities resource resourceSubscriptions resourceTemplates resource_link resources
  resources/list resources/read resources/subscribe resources/templates/list resources/unsubscribe
  resourcesListChanged result resultType roots/list sampling sampling/createMessage server/discover serverInfo
  speedPriority status statusMessage stopReason stopSequences string structuredContent subscribe subscriptions/listen
  supported supportedVersions systemPrompt taskId taskSupport tasks/cancel tasks/get tasks/list tasks/result
  temperature text/plain thisServer toolChoice toolUseId tool_result tool_use tools/call tools/list toolsListChanged
  uniqueItems uriTemplate values version warning websiteUrl working
  `
    .trim()
    .split(/\s+/)
)
