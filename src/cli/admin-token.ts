/** From the environment, as the list of processes would show an option. Nothing: one is made up. */
export function adminToken(): { readonly token?: string } {
  const token = process.env.CATFLAP_ADMIN_TOKEN
  return token ? { token } : {}
}
