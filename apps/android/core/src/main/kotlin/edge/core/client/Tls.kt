package edge.core.client

import java.io.IOException
import java.security.GeneralSecurityException
import java.security.KeyStore
import java.security.cert.CertificateFactory
import javax.net.ssl.SSLContext
import javax.net.ssl.SSLSocketFactory
import javax.net.ssl.TrustManagerFactory

/**
 * Return the factory of TLS sockets that trust the certificates of `authorities` (PEM) alone, or the system's if null.
 *
 * Raises IllegalArgumentException for text that holds no certificate.
 */
internal fun tlsFactory(authorities: String?): SSLSocketFactory {
    val context = SSLContext.getInstance("TLS")
    context.init(null, authorities?.let(::trusting)?.trustManagers, null)
    return context.socketFactory
}

private fun trusting(authorities: String): TrustManagerFactory {
    val certificates = try {
        CertificateFactory.getInstance("X.509").generateCertificates(authorities.byteInputStream())
    } catch (error: GeneralSecurityException) {
        throw IllegalArgumentException("the authorities hold a certificate that cannot be read: ${error.message}")
    } catch (error: IOException) {
        throw IllegalArgumentException("the authorities cannot be read: ${error.message}")
    }
    require(certificates.isNotEmpty()) { "the authorities hold no certificate; give PEM text" }
    val store = KeyStore.getInstance(KeyStore.getDefaultType()).apply { load(null) }
    certificates.forEachIndexed { index, certificate -> store.setCertificateEntry("authority-$index", certificate) }
    return TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm()).apply { init(store) }
}
