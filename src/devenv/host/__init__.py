"""Facts of this machine: ports, limits, proxies, certificates, package managers, registry logins."""
