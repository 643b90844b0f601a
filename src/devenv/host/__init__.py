"""Facts about this machine: ports, limits, proxies, certificates, package managers, registry logins."""
